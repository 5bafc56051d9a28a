"""Who looks at which tasks of a project, told to those who have the project before them.

What changes is kept for a moment and told together, so that a busy project costs a socket one frame a moment; a frame
names so many tasks and users at most.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_gateway.live import protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rota_gateway.live.projects import Projects
    from rota_gateway.live.subscriber import Subscriber

MOST_TASKS = 200
MOST_USERS = 50


@dataclass(frozen=True, slots=True)
class Listed:
    """A project whose tasks somebody has before them."""

    workspace_id: str
    project_id: str


class Lists:
    """Knows who follows which project, one for each socket, and tells them.

    Args:
        projects: Who may see what.
    """

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._listed: dict[Subscriber, Listed] = {}
        self._followers: defaultdict[Listed, set[Subscriber]] = defaultdict(set)
        self._changed: defaultdict[Listed, set[str]] = defaultdict(set)

    def follow(
        self, subscriber: Subscriber, listed: Listed | None, looked_at: Callable[[Listed], Mapping[str, list[str]]]
    ) -> None:
        """A socket follows a project from now on, or none; it hears at once who looks at what there.

        Args:
            subscriber: The socket.
            listed: The project; one that its user may not see has nobody in it.
            looked_at: Who looks at tasks of a project, by their ids.
        """
        if self._listed.get(subscriber) == listed:
            return
        self.leave(subscriber)
        if listed is None:
            return
        sees = self._sees(subscriber, listed)
        if sees:
            self._listed[subscriber] = listed
            self._followers[listed].add(subscriber)
        found = looked_at(listed) if sees else {}
        subscriber.offer(_frame(listed, dict(sorted(found.items())[:MOST_TASKS])))

    def leave(self, subscriber: Subscriber) -> None:
        """A socket follows nothing any more."""
        listed = self._listed.pop(subscriber, None)
        if listed is not None:
            self._followers[listed].discard(subscriber)
            if not self._followers[listed]:
                del self._followers[listed]

    def review(self, workspace_id: str) -> None:
        """Who may see what in a workspace has changed: who may not see a project follows it no more."""
        for subscriber, listed in list(self._listed.items()):
            if listed.workspace_id == workspace_id and not self._sees(subscriber, listed):
                self.leave(subscriber)

    def note(self, listed: Listed, task_id: str) -> None:
        """Other users look at a task of a project than before."""
        if listed in self._followers:
            self._changed[listed].add(task_id)

    def tell(self, users_of: Callable[[Listed, str], list[str]]) -> None:
        """Tell the followers what has changed since the last time.

        Args:
            users_of: Who looks at a task of a project now.
        """
        changed, self._changed = self._changed, defaultdict(set)
        for listed, noted in changed.items():
            task_ids = sorted(noted)
            for start in range(0, len(task_ids), MOST_TASKS):
                found = {each: users_of(listed, each) for each in task_ids[start : start + MOST_TASKS]}
                for subscriber in self._followers.get(listed, ()):
                    subscriber.offer(_frame(listed, found))

    def _sees(self, subscriber: Subscriber, listed: Listed) -> bool:
        return self._projects.sees(subscriber, listed.workspace_id, listed.project_id)


def _frame(listed: Listed, found: Mapping[str, list[str]]) -> str:
    tasks = {task_id: user_ids[:MOST_USERS] for task_id, user_ids in found.items()}
    return protocol.presence_in_project(listed.workspace_id, listed.project_id, tasks)
