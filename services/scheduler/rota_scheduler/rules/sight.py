"""Which users may see what an event tells of: whom a rule or a run acts for, who asks what a rule would do.

An event of a project that is hidden from them does not concern them, as if it were not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.events.consumer import AskFirst

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from uuid import UUID

    from rota_chassis.postgres.database import Reader
    from rota_chassis.private_projects import PrivateProjects

    from rota_scheduler.rules.facts import Facts


async def seeing(projects: PrivateProjects, reader: Reader, facts: Facts, user_ids: Iterable[UUID]) -> Collection[UUID]:
    """Those of the users who may see what the event tells of.

    Raises:
        AskFirst: the copy of private projects does not know enough.
    """
    asked = tuple(dict.fromkeys(user_ids))
    project_ids = facts.project_ids
    if project_ids is None:
        found = await projects.project_of(facts.event, facts.data["task_id"])
        if found is None:
            return ()
        project_ids = (found,)
    if not any(project_ids):
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
        self._known: dict[tuple[str, ...], bool] = {}

    async def includes(self, facts: Facts) -> bool:
        """Whether they may all see what an event tells of.

        Raises:
            Unavailable: who has to be asked does not answer.
        """
        project_ids = facts.project_ids
        if project_ids is None:
            return await self._ask(facts)
        if project_ids not in self._known:
            self._known[project_ids] = await self._ask(facts)
        return self._known[project_ids]

    async def _ask(self, facts: Facts) -> bool:
        while True:
            try:
                found = await seeing(self._projects, self._reader, facts, self._user_ids)
            except AskFirst as lacking:
                await lacking.ask()
            else:
                return self._user_ids <= set(found)
