"""What the runs of rules, of steps of workflows and of tasks' actions share, whoever claims them at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from rota.scheduler.v1 import task_actions_pb2
from rota.tasks.v1 import executions_pb2
from rota_chassis.codec.wellknown import struct_json
from rota_chassis.errors import InvalidArgument
from rota_chassis.events.consumer import Consumer
from rota_chassis.identity import UserPrincipal
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS, Memberships
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.private_projects import PrivateProjects
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.executions import handlers as executions
from rota_scheduler.executions.firing import Executions, fire_task_actions
from rota_scheduler.executions.servicer import TaskActionServicer
from rota_scheduler.resource_pools import store as pools
from rota_scheduler.resource_pools.domain import ResourcePool
from rota_scheduler.rules import commands as rule_commands
from rota_scheduler.rules import handlers as rules
from rota_scheduler.rules.dependencies import Rules
from rota_scheduler.runs import claims, finishing
from rota_scheduler.runs.domain import LEASE, End, Run, Status
from rota_scheduler.runs.finishing import Ended
from rota_scheduler.runs.tables import RUNS, run_of
from rota_scheduler.workflows import commands as workflow_commands
from rota_scheduler.workflows.dependencies import Workflows
from sqlalchemy import bindparam, insert, select

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.service_plugin import MakeDatabase

CLAIMERS = 50
OF_EACH = 10
EGRESS = EgressPolicy(allow_private=True)
WORK = {"event": {"type": "model.trained"}}
_JOIN = statement(insert(MEMBERSHIPS).values({c.name: bindparam(c.name) for c in MEMBERSHIPS.c}))
_RUNS = statement(select(RUNS).order_by(RUNS.c.id))


class World:
    """A workspace with a pool `gpus`, and a member who orders runs there in three ways."""

    def __init__(self, database: Database, clock: ManualClock, task: Any) -> None:
        self.database, self._clock, self._task = database, clock, task
        self.user = UserPrincipal(uuid7(), task.workspace_id, "user", None)
        # Nobody is asked: the copy of memberships knows the one user.
        memberships = Memberships(database, grpc.aio.insecure_channel("unix:/nowhere"))
        self.projects = projects = PrivateProjects(
            "scheduler",
            database=database,
            memberships=memberships,
            tasks=grpc.aio.insecure_channel("unix:/nowhere"),
            nats=None,  # type: ignore[arg-type]
        )
        self.executions = Executions(database, memberships, clock, EGRESS, on_runs=lambda: None)
        self.workflows = Workflows(
            database, memberships, projects, clock, EGRESS, on_waits=lambda: None, on_runs=lambda: None
        )
        self.rules = Rules(
            database,
            memberships,
            projects,
            None,  # type: ignore[arg-type]
            clock,
            EGRESS,
            on_runs=lambda: None,
        )

    async def by_rules(self, action: Mapping[str, Any], count: int) -> None:
        for _ in range(count):
            members = {"name": "Train", "events": ("task.created",), "actions": (action,)}
            await rule_commands.create_rule(self.rules, self.user, workspace_id=self.user.workspace_id, members=members)
        await self._receive(rules.CONSUMER, rules.handlers(self.rules), self._task.event("task.created", 1))

    async def by_a_workflow(self, action: Mapping[str, Any], count: int) -> None:
        step = {"for_each": {"in": "input", "max_parallel": 100}, "action": action}
        made = await workflow_commands.create_workflow(
            self.workflows,
            self.user,
            workspace_id=self.user.workspace_id,
            name="Train",
            definition={"steps": {"train": step}},
        )
        await workflow_commands.start_workflow(
            self.workflows, self.user, workflow_id=made.id, content=[1 + n % 3 for n in range(count)], request_id=None
        )

    async def by_tasks(self, action: Mapping[str, Any], count: int) -> None:
        for _ in range(count):
            self._task.message.id = str(uuid7())
            self._task.message.action.update(dict(action))
            self._task.message.run_when = executions_pb2.RUN_WHEN_DUE
            self._task.message.action_state.id = str(uuid7())
            self._task.message.action_state.given_by = str(self.user.user_id)
            event = self._task.event("task.created", 1, due_at=self._clock.now() - timedelta(seconds=1))
            await self._receive("scheduler", executions.handlers(self._clock, self.projects), event)
        await fire_task_actions(self.executions)

    async def _receive(self, name: str, handlers: Any, event: Any) -> None:
        await Consumer(name, handlers, database=self.database, nats=None).handle(event)  # type: ignore[arg-type]

    async def runs(self) -> Sequence[Run]:
        return [run_of(row) for row in await self.database.fetch(_RUNS)]


@pytest.fixture
async def url(make_database: MakeDatabase) -> str:
    """A new database."""
    return await make_database("scheduler")


@pytest.fixture
async def world(url: str, clock: ManualClock, task: Any) -> AsyncIterator[World]:
    """The workspace, with a pool of four units."""
    database = await Database.connect(url, size=4, name="replica")
    made, now = World(database, clock, task), clock.now()
    async with database.transaction() as work:
        await work.execute(
            _JOIN,
            workspace_id=made.user.workspace_id,
            user_id=made.user.user_id,
            role="member",
            version=1,
            removed=False,
        )
        pool = ResourcePool(
            id=uuid7(),
            workspace_id=made.user.workspace_id,
            name="gpus",
            units=4,
            description="",
            created_at=now,
            updated_at=now,
        )
        assert await pools.add(work, pool, request_key=None, fingerprint=None)
    yield made
    await database.close()


ORDERS: dict[str, Callable[[World, Mapping[str, Any], int], Awaitable[None]]] = {
    "rule": World.by_rules,
    "task": World.by_tasks,
    "workflow": World.by_a_workflow,
}


async def test_fifty_who_claim_at_once_never_take_more_units_than_there_are_of_what_the_three_have_ordered(
    world: World, clock: ManualClock, url: str
) -> None:
    await world.by_rules({**WORK, "resources": {"gpus": 2}}, OF_EACH)
    await world.by_a_workflow({**WORK, "resources": {"gpus": "${item}"}}, OF_EACH)
    await world.by_tasks({**WORK, "resources": {"gpus": 1}, "concurrency_key": "oven", "concurrency_limit": 2}, OF_EACH)
    ordered = await world.runs()
    assert len(ordered) == 3 * OF_EACH
    async with AsyncExitStack() as stack:
        databases = []
        for number in range(CLAIMERS):
            databases.append(await Database.connect(url, size=1, name=f"claimer-{number}"))
            stack.push_async_callback(databases[-1].close)
        seen: list[Run] = []
        while len(seen) < len(ordered):
            found = await asyncio.gather(*(claim(each, clock) for each in databases))
            held = [run for some in found for run in some]
            assert held
            assert sum(units(run) for run in held) <= 4
            assert sum(run.concurrency_key == "oven" for run in held) <= 2
            async with world.database.transaction() as work:
                done = [Ended(run, End(Status.SUCCEEDED)) for run in held]
                assert len(await finishing.finish(work, done, finished_at=clock.now())) == len(held)
            seen += held
    assert {run.id for run in seen} == {run.id for run in ordered}


async def claim(database: Database, clock: ManualClock) -> Sequence[Run]:
    async with database.transaction() as work:
        return (await claims.claim(work, now=clock.now(), lease_until=clock.now() + LEASE, limit=5)).runs


def units(run: Run) -> int:
    found: int = (run.allocation or {})["resources"]["gpus"]
    return found


@pytest.mark.parametrize("how", sorted(ORDERS))
async def test_a_run_shares_what_its_action_says_and_what_says_nothing_shares_nothing(world: World, how: str) -> None:
    shares = {"priority": 7, "concurrency_key": "oven", "concurrency_limit": 2, "resources": {"gpus": 1}}
    await ORDERS[how](world, {**WORK, **shares, "rate_limit": {"limit": 3, "period_s": 60}}, 1)
    (run,) = await world.runs()
    assert (run.priority, run.concurrency_key, run.concurrency_limit) == (7, "oven", 2)
    assert run.allocation is not None
    assert run.allocation["rate"] == {"limit": 3, "period_s": 60}
    assert units(run) == 1
    assert set(run.action) - {"retry", "timeout_s", "of_task"} >= {"event"}
    assert "resources" not in run.action


@pytest.mark.parametrize("how", sorted(ORDERS))
async def test_an_action_that_shares_nothing_needs_no_turn(world: World, how: str) -> None:
    await ORDERS[how](world, WORK, 1)
    (run,) = await world.runs()
    assert (run.priority, run.is_allotted) == (0, False)


@pytest.mark.parametrize(
    ("resources", "code"),
    [({"tpus": 1}, "UNKNOWN_RESOURCE_POOL"), ({"gpus": 5}, "TOO_MANY_UNITS")],
    ids=["pool", "units"],
)
async def test_a_pool_that_is_not_there_or_is_too_small_is_refused_when_it_is_said(
    world: World, resources: dict[str, int], code: str
) -> None:
    action = {**WORK, "resources": resources}
    for ordering in (world.by_rules, world.by_a_workflow):
        with pytest.raises(InvalidArgument) as refused:
            await ordering(action, 1)
        assert refused.value.code == code
    request = task_actions_pb2.AcceptActionsRequest(
        workspace_id=str(world.user.workspace_id), user_id=str(world.user.user_id)
    )
    for each in (action, {**WORK, "resources": {"gpus": 4}}):
        request.actions.add().update(each)
    refusal, accepted = (await TaskActionServicer(world.executions).AcceptActions(request, None)).actions
    assert refusal.refusal.code == code
    (name,) = resources
    assert [each.field for each in refusal.refusal.violations] == [f'action.resources["{name}"]']
    assert struct_json(accepted.action)["resources"] == {"gpus": 4}
