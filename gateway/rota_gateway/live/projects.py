"""Who may see which project, kept true by the events that pass.

Tasks is asked about a workspace when somebody of it first listens. From then on the events of its projects keep what it
said true: they come in the order in which they happened, before whatever happened in the project afterwards. What
passes while tasks is asked is kept, and the newest version of each project stays.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota.tasks.v1 import locations_pb2, locations_pb2_grpc, project_members_pb2_grpc
from rota_chassis.private_projects import ask_tasks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import grpc

    from rota_gateway.live.subscriber import Subscriber

_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Project:
    """Who may see a project, besides those who see all.

    Attributes:
        version: tells newer from older.
        private: whether only its members may.
        members: the users named in it; of one that is not private they do not matter.
    """

    version: int
    private: bool = False
    members: frozenset[str] = frozenset()

    def open_to(self, user_id: str) -> bool:
        """Whether a user may see it who belongs to the workspace and does not see all."""
        return not self.private or user_id in self.members


class Projects:
    """Asks tasks.

    Args:
        channel: to tasks, with the gateway's own identity.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._members = project_members_pb2_grpc.ProjectMemberServiceStub(channel)
        self._locations = locations_pb2_grpc.LocationServiceStub(channel)
        self._known: dict[str, dict[str, Project]] = {}
        self._heard: dict[str, dict[str, Project]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def knows(self, workspace_id: str) -> bool:
        """Whether the projects of a workspace are known."""
        return workspace_id in self._known

    async def learn(self, workspace_ids: Iterable[str]) -> None:
        """Know the projects of these workspaces; calls at the same time share one question.

        Raises:
            RotaError: tasks does not answer.
        """
        for workspace_id in workspace_ids:
            if workspace_id in self._known:
                continue
            question = self._asking.get(workspace_id)
            if question is None:
                question = self._asking[workspace_id] = asyncio.create_task(self._ask(workspace_id))
                question.add_done_callback(lambda _, asked=workspace_id: self._asking.pop(asked))  # type: ignore[misc]
            await asyncio.shield(question)

    async def learn_anew(self) -> None:
        """Know the projects of all workspaces that were known, after events may have been missed.

        Raises:
            RotaError: tasks does not answer; what was not asked about yet is as it was.
        """
        for workspace_id in self._known:
            await self._ask(workspace_id)

    async def _ask(self, workspace_id: str) -> None:
        heard = self._heard[workspace_id] = {}
        try:
            answer = await ask_tasks(self._members, workspace_id)
        finally:
            del self._heard[workspace_id]
        found = {each.project_id: Project(each.version, True, frozenset(each.member_ids)) for each in answer}
        for project_id, project in heard.items():
            if project_id not in found or found[project_id].version <= project.version:
                found[project_id] = project
        self._known[workspace_id] = found

    def hear(self, workspace_id: str, project_id: str, project: Project) -> Project | None:
        """Take over what an event says of a project; returns how it was before, None when that is not known."""
        before = None
        for projects in (self._known.get(workspace_id), self._heard.get(workspace_id)):
            if projects is not None:
                before = projects.get(project_id, Project(0))
                if before.version <= project.version:
                    projects[project_id] = project
        return before

    def of(self, workspace_id: str, project_id: str) -> Project:
        """A project as it is now; in a workspace that is not known every project is hidden."""
        known = self._known.get(workspace_id)
        return Project(0, private=True) if known is None else known.get(project_id, Project(0))

    def among(self, workspace_id: str, project_ids: Collection[str] | None) -> Collection[Project]:
        """Those of the projects that are private; None means any project of the workspace, which one is not known."""
        if project_ids is not None:
            return [each for each in (self.of(workspace_id, one) for one in project_ids) if each.private]
        known = self._known.get(workspace_id)
        return [Project(0, private=True)] if known is None else [each for each in known.values() if each.private]

    def sees(self, subscriber: Subscriber, workspace_id: str, project_id: str) -> bool:
        """Whether a socket's user may see what is in a project, or in none if that is empty."""
        membership = subscriber.workspaces.get(workspace_id)
        if membership is None:
            return False
        return not project_id or membership.sees_all or self.of(workspace_id, project_id).open_to(subscriber.user_id)

    def private_of(self, workspace_id: str) -> Mapping[str, Project]:
        """The private projects of a workspace, by their ids."""
        return {one: each for one, each in self._known.get(workspace_id, {}).items() if each.private}

    async def of_task(self, workspace_id: str, task_id: str) -> str | None:
        """The project that a task is in: empty for none, None when there is no such task.

        Raises:
            RotaError: tasks does not answer.
        """
        request = locations_pb2.LocateTasksRequest(workspace_id=workspace_id, task_ids=[task_id])
        answer = await self._locations.LocateTasks(request, timeout=_TIMEOUT_S)
        return answer.locations[0].project_id if answer.locations else None


def project_of(data: Mapping[str, Any]) -> Project:
    """Who may see a project after one of its events; of one that was deleted, as it last was."""
    members = frozenset(each["user_id"] for each in data.get("members") or ())
    project = data["project"]
    private = project.get("visibility") == "private"
    return Project(project.get("version") or 0, private, members if private else frozenset())


def project_before(event_type: str, data: Mapping[str, Any]) -> Project | None:
    """Who might see a project before one of its events, as far as the event itself tells; None when it does not."""
    after = project_of(data)
    match event_type:
        case "project.member_added":
            return Project(after.version, after.private, after.members - {data["member"]["user_id"]})
        case "project.member_removed":
            return Project(after.version, after.private, after.members | {data["member"]["user_id"]})
        case "project.member_changed" | "project.deleted":
            return after
    return None
