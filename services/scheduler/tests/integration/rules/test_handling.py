"""An event sets a rule off once, whatever happens to those who handle it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from rota.events.v1 import events_pb2
from rota_chassis.events.consumer import Consumer
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS, Memberships
from rota_chassis.postgres.statements import statement
from rota_chassis.private_projects import PrivateProjects
from rota_scheduler import origins
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.rules import store
from rota_scheduler.rules.dependencies import Rules
from rota_scheduler.rules.domain import Hold, Outcome, Rule
from rota_scheduler.rules.handlers import CONSUMER, handlers
from rota_scheduler.runs.tables import RUNS
from sqlalchemy import bindparam, func, insert, select

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock

_JOIN = statement(insert(MEMBERSHIPS).values({c.name: bindparam(c.name) for c in MEMBERSHIPS.c}))
_RUNS = statement(select(RUNS).order_by(RUNS.c.id))
_TERMINATE = statement(select(func.pg_terminate_backend(bindparam("pid"))))
OWNER = uuid7()
COMMENT = {"task": {"comment": {"task_id": "${event.data.task.id}", "body": "About ${event.data.task.title}"}}}


def consumer(database: Database, clock: ManualClock) -> Consumer:
    # Nobody is asked: handlers know what the copy knows.
    memberships = Memberships(database, grpc.aio.insecure_channel("unix:/nowhere"))
    rules = Rules(
        database,
        memberships,
        PrivateProjects(
            "scheduler",
            database=database,
            memberships=memberships,
            tasks=grpc.aio.insecure_channel("unix:/nowhere"),
            nats=None,  # type: ignore[arg-type]
        ),
        None,  # type: ignore[arg-type]
        clock,
        EgressPolicy(allow_private=True),
        on_runs=lambda: None,
    )
    return Consumer(CONSUMER, handlers(rules), database=database, nats=None)  # type: ignore[arg-type]


@pytest.fixture
async def make_rule(database: Database, clock: ManualClock, task: Any) -> Callable[..., Awaitable[Rule]]:
    """Makes rules of the workspace of the task, whose owner belongs to it."""
    async with database.transaction() as work:
        await work.execute(
            _JOIN, workspace_id=task.workspace_id, user_id=OWNER, role="member", version=1, removed=False
        )

    async def make(**members: Any) -> Rule:
        now = clock.now()
        rule = Rule(
            **{
                "id": uuid7(),
                "workspace_id": task.workspace_id,
                "name": "r",
                "events": ("task.created",),
                "actions": (COMMENT, COMMENT),
                "active_since": now,
                "window_started_at": now,
                "owner_id": OWNER,
                "created_by": OWNER,
                "created_at": now,
                "updated_at": now,
            }
            | members
        )
        async with database.transaction() as work:
            await store.add(work, rule, request_key=None, fingerprint=None)
        return rule

    return make


async def log(database: Database, rule: Rule) -> Sequence[Any]:
    return await store.page_of_log(
        database, user_id=OWNER, workspace_id=rule.workspace_id, rule_id=rule.id, limit=200, before=None
    )


async def test_one_run_of_each_action_is_queued_with_values_of_the_event(
    database: Database, clock: ManualClock, task: Any, make_rule: Any
) -> None:
    rule = await make_rule(condition="title:plants")
    created = task.event("task.created", 1)
    await consumer(database, clock).handle(created)
    found = await database.fetch(_RUNS)
    assert len(found) == 2
    comment = found[0]["action"]["task"]["comment"]
    assert comment == {"task_id": task.message.id, "body": "About Water the plants"}
    assert found[0]["acts_for"] == OWNER
    (entry,) = await log(database, rule)
    assert entry.outcome is Outcome.FIRED
    assert set(entry.run_ids) == {row["id"] for row in found}
    origin = await origins.of_id(database, workspace_id=rule.workspace_id, run_id=found[0]["id"])
    assert (origin.rule_id, origin.causation_depth) == (rule.id, 1)


async def test_events_that_no_rule_waits_for_are_known_beforehand(
    database: Database, clock: ManualClock, task: Any, make_rule: Any
) -> None:
    early, unheard, created = (task.event(kind, 1) for kind in ("task.created", "task.deleted", "task.created"))
    clock.advance(1)
    for others in ({"enabled": False}, {"hold": Hold.RATE}, {"workspace_id": uuid7()}, {"events": ("task.updated",)}):
        await make_rule(**others)
    at = clock.now()
    events = [early, replace(unheard, time=at), replace(created, id=uuid7(), time=at)]
    assert await store.concerned(database, events) == set()
    await make_rule(events=("task.updated", "task.created"))
    assert await store.concerned(database, events) == {events[2].id}


async def test_what_the_condition_does_not_let_through_leaves_nothing(
    database: Database, clock: ManualClock, task: Any, make_rule: Any
) -> None:
    rules = [
        await make_rule(condition="title:basil"),
        await make_rule(enabled=False),
        await make_rule(events=("task.updated",)),
        await make_rule(hold=Hold.RATE),
        await make_rule(workspace_id=uuid7()),
    ]
    clock.advance(60)
    rules.append(await make_rule())
    clock.advance(-1)
    await consumer(database, clock).handle(task.event("task.created", 1))
    assert await database.fetch(_RUNS) == []
    assert [await log(database, rule) for rule in rules] == [[]] * len(rules)


async def test_an_event_that_two_replicas_get_twice_sets_a_rule_off_once(
    replicas: Sequence[Database], clock: ManualClock, task: Any, make_rule: Any
) -> None:
    rule = await make_rule()
    created = task.event("task.created", 1)
    outcomes = await asyncio.gather(*(consumer(each, clock).handle(created) for each in replicas for _ in range(2)))
    assert sorted(outcomes) == ["duplicate"] * 5 + ["handled"]
    assert len(await replicas[0].fetch(_RUNS)) == 2
    assert len(await log(replicas[0], rule)) == 1


async def test_dying_between_the_inbox_row_and_the_commit_hands_the_event_to_the_next(
    replicas: Sequence[Database], clock: ManualClock, task: Any, make_rule: Any
) -> None:
    rule = await make_rule()
    created = task.event("task.created", 1)
    dying, other = consumer(replicas[0], clock), consumer(replicas[1], clock)
    handle = dying._handlers["task.created"]

    async def die(work: Any, event: Event) -> None:
        await handle(work, event)
        pid = work.connection.get_server_pid()
        await replicas[2].fetch(_TERMINATE, pid=pid)

    dying._handlers = {"task.created": die}
    with pytest.raises(Exception, match="database does not answer"):
        await dying.handle(created)
    assert await replicas[1].fetch(_RUNS) == []
    assert await other.handle(created) == "handled"
    assert len(await replicas[1].fetch(_RUNS)) == 2
    assert len(await log(replicas[1], rule)) == 1


async def test_a_rule_set_off_too_often_by_replicas_at_once_is_held_at_its_limit(
    replicas: Sequence[Database], clock: ManualClock, task: Any, make_rule: Any, events: Any
) -> None:
    rule = await make_rule(max_per_minute=5)
    happened = [replace(task.event("task.created", 1), aggregate_id=uuid7()) for _ in range(12)]
    await asyncio.gather(
        *(consumer(replicas[number % 3], clock).handle(event) for number, event in enumerate(happened))
    )
    outcomes = [entry.outcome for entry in await log(replicas[0], rule)]
    assert outcomes.count(Outcome.FIRED) == 5
    assert outcomes.count(Outcome.HELD) == 1
    (held,) = [event for event in await events() if isinstance(event, events_pb2.RuleHeld)]
    assert held.rule.id == str(rule.id)
    assert len(await replicas[0].fetch(_RUNS)) == 10


async def test_an_event_that_five_rules_led_to_is_logged_and_no_more(
    database: Database, clock: ManualClock, task: Any, make_rule: Any
) -> None:
    rule = await make_rule()
    handler = consumer(database, clock)
    await handler.handle(replace(task.event("task.created", 1), causation_depth=5))
    await handler.handle(replace(task.event("task.created", 1), causation_depth=4))
    assert [(entry.depth, entry.outcome) for entry in await log(database, rule)] == [
        (4, Outcome.FIRED),
        (5, Outcome.TOO_DEEP),
    ]
    assert len(await database.fetch(_RUNS)) == 2


@pytest.mark.parametrize("hold", [Hold.OWNER_GONE, Hold.OWNER_ROLE])
async def test_a_rule_whose_owner_may_not_act_any_more_is_held(
    database: Database, clock: ManualClock, task: Any, make_rule: Any, hold: Hold
) -> None:
    owner = uuid7()
    async with database.transaction() as work:
        await work.execute(
            _JOIN,
            workspace_id=task.workspace_id,
            user_id=owner,
            role="viewer" if hold is Hold.OWNER_ROLE else "member",
            version=1,
            removed=hold is Hold.OWNER_GONE,
        )
    rule = await make_rule(owner_id=owner)
    await consumer(database, clock).handle(task.event("task.created", 1))
    (entry,) = await log(database, rule)
    assert (entry.outcome, entry.hold, entry.run_ids) == (Outcome.HELD, hold, ())
    assert await database.fetch(_RUNS) == []


async def test_an_action_that_comes_to_nothing_is_told_of_and_the_others_are_queued(
    database: Database, clock: ManualClock, task: Any, make_rule: Any
) -> None:
    bad = {"task": {"comment": {"task_id": "${event.data.task.title}", "body": "x"}}}
    missing = {"create_task": {"title": "${event.data.comment.text}"}}
    rule, hopeless = await make_rule(actions=(bad, COMMENT, missing)), await make_rule(actions=(bad,))
    await consumer(database, clock).handle(task.event("task.created", 1))
    (entry,) = await log(database, rule)
    assert (entry.outcome, len(entry.run_ids)) == (Outcome.FIRED, 1)
    assert [problem.split(":")[0] for problem in entry.problems] == ["actions[0]", "actions[2]"]
    assert [entry.outcome for entry in await log(database, hopeless)] == [Outcome.FAILED]
