"""Which users may see what an event tells of: whom a rule or a run acts for, who asks what a rule would do.

An event of a project that is hidden from them does not concern them, as if it were not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.events.consumer import AskFirst

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from uuid import UUID

    from rota_chassis.postgres.work import Reader
    from rota_chassis.private_projects import PrivateProjects

    from rota_scheduler.rules.facts import Facts


async def projects_of(projects: PrivateProjects, facts: Facts) -> tuple[str, ...] | None:
    """The projects that the event is about, each of which has to be seen; None when the task it tells of is gone.

    Raises:
        AskFirst: the event does not say, and tasks has not been asked yet.
    """
    if facts.project_ids is not None:
        return facts.project_ids
    found = await projects.project_of(facts.event, facts.data["task_id"])
    if found is None:
        return None
    return (found,) if found else ()


async def seeing(
    projects: PrivateProjects,
    reader: Reader,
    facts: Facts,
    user_ids: Iterable[UUID],
    project_ids: Collection[str] | None,
) -> Collection[UUID]:
    """Those of the users who may see what the event tells of, which is about these projects (see `projects_of`).

    Raises:
        AskFirst: the copy of private projects does not know enough.
    """
    asked = tuple(dict.fromkeys(user_ids))
    if project_ids is None:
        return ()
    if not project_ids:
        return asked
    return await projects.audience(reader, facts.event, project_ids, asked)


class Sight:
    """What some users may all see of past events; others are asked where that is necessary.

    Args:
        projects: The copy of private projects.
        reader: Where it is.
        user_ids: The users.
    """

    def __init__(self, projects: PrivateProjects, reader: Reader, user_ids: Iterable[UUID]) -> None:
        self._projects = projects
        self._reader = reader
        self._user_ids = frozenset(user_ids)
        self._known: dict[tuple[str, ...] | None, bool] = {}

    async def includes(self, facts: Facts) -> bool:
        """Whether they may all see what an event tells of.

        Raises:
            Unavailable: who has to be asked does not answer.
        """
        while True:
            try:
                return await self._look(facts)
            except AskFirst as lacking:
                await lacking.ask()

    async def _look(self, facts: Facts) -> bool:
        project_ids = await projects_of(self._projects, facts)
        if project_ids not in self._known:
            found = await seeing(self._projects, self._reader, facts, self._user_ids, project_ids)
            self._known[project_ids] = self._user_ids <= set(found)
        return self._known[project_ids]
