"""A scheduler, a workspace with a private project, and those who see it or do not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import nats
import orjson
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import (
    allocation_pb2_grpc,
    rules_pb2,
    rules_pb2_grpc,
    runs_pb2,
    runs_pb2_grpc,
    workers_pb2_grpc,
    workflows_pb2,
    workflows_pb2_grpc,
)
from rota.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from rota_chassis.errors import RotaError
from rota_chassis.events import envelope
from rota_chassis.events.types import event_type_of
from rota_chassis.ids import uuid7
from rota_chassis.testing.services import User
from rota_chassis.testing.tasks import a_project
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from integration.conftest import RunBeside
    from rota_chassis.testing.auth import SmallAuth
    from rota_chassis.testing.tokens import TokenIssuer

TELL = {"event": {"type": "told", "data": {"title": "${event.data.task.title}"}}}


class World:
    """Ada owns the workspace; Alan, a member, and Vera, a viewer, are named in the project; Grace, a member, is not."""

    def __init__(self, issuer: TokenIssuer, auth: SmallAuth) -> None:
        self.ada, self.alan, self.vera, self.grace = [User(issuer) for _ in range(4)]
        for user in (self.ada, self.alan, self.vera, self.grace):
            auth.add_user(user)
        self.workspace_id = self.ada.workspace_id
        for user, role in ((self.alan, "member"), (self.vera, "viewer"), (self.grace, "member")):
            auth.add_member(self.workspace_id, user.id, role=role)
        self.project_id = str(uuid7())
        self.rules: Any = None
        self.runs: Any = None
        self.workflows: Any = None
        self.workers: Any = None
        self.keys: Any = None
        self.nats: Any = None
        self._version = 0

    @property
    def insiders(self) -> tuple[User, ...]:
        """Those who see the project."""
        return (self.ada, self.alan, self.vera)

    async def show(self, *members: User, private: bool = True) -> None:
        """Tell who is named in the project from now on, and whether it is private."""
        self._version += 1
        project, named = a_project(
            self.workspace_id,
            *(each.id for each in members),
            project_id=self.project_id,
            version=self._version,
            private=private,
        )
        changed = events_pb2.ProjectUpdated(project=project, members=named)
        await self.publish(changed, version=self._version)

    async def publish(self, data: Any, *, version: int = 1) -> None:
        """Publish an event as the tasks service would."""
        kind = event_type_of(type(data))
        row = {
            "id": uuid7(),
            "type": kind.name,
            "workspace_id": self.workspace_id,
            "aggregate_id": self.project_id if kind.name.startswith("project.") else uuid7(),
            "aggregate_version": version,
            "actor": f"user:{self.ada.id}",
            "time": datetime.now(UTC),
            "traceparent": None,
            "causation_depth": 0,
        }
        await self.nats.jetstream().publish(
            envelope.subject(self.workspace_id, kind.name),
            orjson.dumps(kind.encode(data)),
            headers=envelope.headers(row, "/rota/tasks"),
        )

    async def publish_task(self, title: str = "hush", project_id: str | None = None) -> None:
        """Publish that a task was created, in the private project unless another is given; empty means in none."""
        of_project = self.project_id if project_id is None else project_id
        task = tasks_pb2.Task(id=str(uuid7()), title=title, created_by=str(self.ada.id), project_id=of_project or None)
        await self.publish(events_pb2.TaskCreated(task=task))

    async def rule(self, *actions: dict[str, Any], user: User | None = None, **members: Any) -> rules_pb2.Rule:
        """A rule of Alan, or of another, that is set off by new tasks."""
        request = rules_pb2.CreateRuleRequest(
            **{"name": "Rule", "on": ["task.created"], "workspace_id": str(self.workspace_id)} | members
        )
        request.actions.extend(ParseDict(action, Struct()) for action in actions or (TELL,))
        return (await self.rules.CreateRule(request, metadata=(user or self.alan).metadata)).rule

    async def log(self, rule: rules_pb2.Rule, user: User, **fields: Any) -> rules_pb2.ListRuleLogResponse:
        """The rule's log, as a user sees it."""
        return await self.rules.ListRuleLog(rules_pb2.ListRuleLogRequest(id=rule.id, **fields), metadata=user.metadata)

    async def page(self, user: User, **fields: Any) -> runs_pb2.ListAllRunsResponse:
        """Runs of the workspace, as a user sees them."""
        request = runs_pb2.ListAllRunsRequest(workspace_id=str(self.workspace_id), **fields)
        return await self.runs.ListAllRuns(request, metadata=user.metadata)

    async def ended(self, count: int) -> list[Any]:
        """The runs of the workspace, once so many have ended."""

        async def enough() -> Any:
            found = (await self.page(self.ada, page_size=200)).runs
            return found if sum(each.HasField("finished_at") for each in found) >= count else None

        return list(await eventually(enough, timeout_s=30))

    async def workflow(self, definition: dict[str, Any], user: User | None = None) -> Any:
        """A workflow of Alan, or of another."""
        request = workflows_pb2.CreateWorkflowRequest(name="Flow", workspace_id=str(self.workspace_id))
        ParseDict(definition, request.definition)
        return (await self.workflows.CreateWorkflow(request, metadata=(user or self.alan).metadata)).workflow

    async def start(self, workflow: Any, user: User | None = None) -> Any:
        """A run of a workflow that Alan, or another, starts."""
        request = workflows_pb2.StartWorkflowRequest(id=workflow.id)
        return (await self.workflows.StartWorkflow(request, metadata=(user or self.alan).metadata)).run

    async def workflow_runs(self, user: User) -> list[Any]:
        """The runs of workflows of the workspace, as a user sees them."""
        request = workflows_pb2.ListWorkflowRunsRequest(workspace_id=str(self.workspace_id), page_size=200)
        return list((await self.workflows.ListWorkflowRuns(request, metadata=user.metadata)).runs)

    async def workflows_ended(self, count: int) -> list[Any]:
        """The runs of workflows of the workspace, once so many have ended."""

        async def enough() -> Any:
            found = await self.workflow_runs(self.ada)
            return found if sum(each.HasField("finished_at") for each in found) >= count else None

        return list(await eventually(enough, timeout_s=30))

    async def refused(self, call: Callable[..., Awaitable[Any]], request: Any, user: User) -> type[RotaError] | None:
        """The kind of error that a call of a user is answered with; None when it is not."""
        try:
            await call(request, metadata=user.metadata)
        except RotaError as error:
            return type(error)
        return None


@pytest.fixture
async def world(
    auth: SmallAuth, issuer: TokenIssuer, fresh_nats_url: str, run_beside: RunBeside
) -> AsyncIterator[World]:
    """Everything, running; Alan and Vera have been shown the project."""
    world = World(issuer, auth)
    channel = await run_beside(tasks_pb2_grpc.TaskServiceServicer())
    world.rules = rules_pb2_grpc.RuleServiceStub(channel)
    world.runs = runs_pb2_grpc.RunServiceStub(channel)
    world.workflows = workflows_pb2_grpc.WorkflowServiceStub(channel)
    world.workers = workers_pb2_grpc.WorkerServiceStub(channel)
    world.keys = allocation_pb2_grpc.ConcurrencyKeyServiceStub(channel)
    world.nats = await nats.connect(fresh_nats_url)
    await world.show(world.alan, world.vera)
    yield world
    await world.nats.close()
