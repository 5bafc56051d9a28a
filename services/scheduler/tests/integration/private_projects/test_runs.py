"""Runs that came of a private project are there for those alone who may see it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc.aio
import pytest
from rota.scheduler.v1 import allocation_pb2, rules_pb2, runs_pb2, schedules_pb2, workers_pb2
from rota.tasks.v1 import executions_pb2
from rota_chassis.errors import NotFound, PermissionDenied
from rota_chassis.events.consumer import Consumer
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS, Memberships
from rota_chassis.postgres.statements import statement
from rota_chassis.private_projects import PrivateProjects
from rota_chassis.testing.streams import stored_events
from rota_chassis.testing.tasks import small_tasks
from rota_chassis.testing.waiting import eventually
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.executions.firing import Executions, fire_task_actions
from rota_scheduler.executions.handlers import handlers
from rota_scheduler.runs import calls
from sqlalchemy import bindparam, insert

if TYPE_CHECKING:
    from integration.private_projects.conftest import World
    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.services import User

FAIL = {"notify": {"user_ids": ["${event.data.task.id}"], "title": "${event.data.task.title}"}}
_JOIN = statement(insert(MEMBERSHIPS).values({c.name: bindparam(c.name) for c in MEMBERSHIPS.c}))


async def listed(world: World, user: User) -> list[str]:
    return [each.id for each in (await world.page(user, page_size=200)).runs]


async def seen(world: World, user: User) -> list[str]:
    """The ids of the runs that are there for a user, by which they are read as well."""
    ids = await listed(world, user)
    for run_id in ids:
        assert await world.refused(world.runs.GetRun, runs_pb2.GetRunRequest(id=run_id), user) is None
    return ids


async def test_a_run_of_a_rule_and_its_entry_in_the_log_are_there_for_those_who_see_the_project(world: World) -> None:
    rule = await world.rule()
    await world.publish_task()
    (run,) = await world.ended(1)
    assert list(run.project_ids) == [world.project_id]
    for user in world.insiders:
        assert await seen(world, user) == [run.id]
        assert len((await world.log(rule, user)).entries) == 1
    assert await seen(world, world.grace) == []
    assert await world.refused(world.runs.GetRun, runs_pb2.GetRunRequest(id=run.id), world.grace) is NotFound
    # The rule itself was written for the workspace.
    assert await world.refused(world.rules.GetRule, rules_pb2.GetRuleRequest(id=rule.id), world.grace) is None
    assert list((await world.log(rule, world.grace)).entries) == []


async def test_who_is_taken_out_sees_the_runs_no_more_and_everybody_does_once_the_project_is_open(
    world: World,
) -> None:
    rule = await world.rule(user=world.ada)
    await world.publish_task()
    (run,) = await world.ended(1)

    async def become(user: User, ids: list[str]) -> None:
        async def same() -> bool:
            return await listed(world, user) == ids and len((await world.log(rule, user)).entries) == len(ids)

        await eventually(same, timeout_s=30)
        assert await seen(world, user) == ids

    assert await seen(world, world.alan) == [run.id]
    await world.show(world.vera)
    await become(world.alan, [])
    assert await world.refused(world.runs.GetRun, runs_pb2.GetRunRequest(id=run.id), world.alan) is NotFound
    assert await seen(world, world.ada) == [run.id]
    await world.show(world.vera, private=False)
    await become(world.alan, [run.id])
    await become(world.grace, [run.id])


async def test_what_failed_is_replayed_retried_and_waited_for_by_those_alone_who_see_it(world: World) -> None:
    await world.rule(FAIL)
    await world.publish_task()
    (run,) = await world.ended(1)
    listing = runs_pb2.ListDeadLettersRequest(workspace_id=str(world.workspace_id))

    async def dead(user: User) -> list[str]:
        return [each.id for each in (await world.runs.ListDeadLetters(listing, metadata=user.metadata)).runs]

    assert await dead(world.alan) == await dead(world.vera) == [run.id]
    assert await dead(world.grace) == []
    for call, request in (
        (world.runs.RetryRun, runs_pb2.RetryRunRequest(id=run.id)),
        (world.runs.ReplayDeadLetter, runs_pb2.ReplayDeadLetterRequest(id=run.id)),
        (world.runs.CancelRun, runs_pb2.CancelRunRequest(id=run.id)),
    ):
        assert await world.refused(call, request, world.grace) is NotFound
        if call is not world.runs.CancelRun:
            assert await world.refused(call, request, world.vera) is PermissionDenied
    action = schedules_pb2.Action(event=schedules_pb2.EventAction(type="x"))
    after = runs_pb2.CreateRunRequest(workspace_id=str(world.workspace_id), action=action, after=[run.id])
    assert await world.refused(world.runs.CreateRun, after, world.grace) is NotFound
    # What takes the action once more is of the project as well.
    for call, request in (
        (world.runs.RetryRun, runs_pb2.RetryRunRequest(id=run.id)),
        (world.runs.ReplayDeadLetter, runs_pb2.ReplayDeadLetterRequest(id=run.id)),
    ):
        again = (await call(request, metadata=world.alan.metadata)).run
        assert list(again.project_ids) == [world.project_id]
    assert await seen(world, world.grace) == []


async def test_pages_leave_out_what_is_hidden_and_nothing_else(world: World) -> None:
    rule = await world.rule()
    for number in range(12):
        await world.publish_task(f"hush {number}", None if number % 3 else "")
    open_ids = [each.id for each in await world.ended(12) if not each.project_ids]
    assert len(open_ids) == 4

    async def walk(user: User) -> list[list[str]]:
        pages, token = [], ""
        while True:
            page = await world.page(user, page_size=2, page_token=token)
            pages.append([each.id for each in page.runs])
            token = page.next_page_token
            if not token:
                return pages

    assert await walk(world.grace) == [open_ids[:2], open_ids[2:]]
    assert len(await walk(world.vera)) == 6
    entries = await world.log(rule, world.grace, page_size=3)
    rest = await world.log(rule, world.grace, page_size=3, page_token=entries.next_page_token)
    assert (len(entries.entries), len(rest.entries), rest.next_page_token) == (3, 1, "")
    # In all of their workspaces, too.
    everywhere = await world.runs.ListAllRuns(runs_pb2.ListAllRunsRequest(), metadata=world.grace.metadata)
    assert [each.id for each in everywhere.runs] == open_ids


async def test_an_event_that_a_run_publishes_concerns_no_rule_of_those_who_do_not_see_the_project(
    world: World,
) -> None:
    theirs = await world.rule(user=world.grace, on=["custom.published", "run.finished"])
    own = await world.rule({"event": {"type": "again"}}, on=["custom.published"], when='name:"custom.told"')
    await world.rule()
    await world.publish_task()
    runs = await world.ended(2)
    assert {tuple(each.project_ids) for each in runs} == {(world.project_id,)}
    assert len((await world.log(own, world.alan)).entries) == 1
    await world.publish_task("open", "")
    # Of the open one: its end, what it says, the end of the run that `own` orders, and what that says.
    await world.ended(4)

    async def heard() -> bool:
        return len((await world.log(theirs, world.ada)).entries) >= 2

    await eventually(heard, timeout_s=30)
    entries = (await world.log(theirs, world.ada)).entries
    about = {each.id: each for each in await stored_events(world.nats)}
    for entry in entries:
        data = about[UUID(entry.event_id)].data
        assert world.project_id not in str(data), data


async def test_a_job_of_a_hidden_project_is_done_by_who_works_for_its_queue(world: World) -> None:
    await world.rule({"job": {"queue": "press", "payload": {"title": "${event.data.task.title}"}}})
    await world.publish_task()
    claim = workers_pb2.ClaimRunsRequest(
        name="press", workspace_id=str(world.workspace_id), wait_s=20, worker="grace's press"
    )
    (job,) = (await world.workers.ClaimRuns(claim, metadata=world.grace.metadata)).runs
    complete = workers_pb2.CompleteRunRequest(id=job.id, fence=job.fence)
    assert await world.refused(world.workers.CompleteRun, complete, world.grace) is None
    assert await seen(world, world.grace) == []
    assert await seen(world, world.alan) == [job.id]


async def test_a_concurrency_key_is_listed_for_who_sees_one_of_its_runs(world: World) -> None:
    job = {"queue": "press"}
    await world.rule(
        {"job": job, "concurrency_key": "print ${event.data.task.title}"}, {"job": job, "concurrency_key": "press"}
    )
    await world.publish_task("hush")
    await world.publish_task("loud", project_id="")

    async def keys(user: User) -> dict[str, int]:
        request = allocation_pb2.ListConcurrencyKeysRequest(workspace_id=str(world.workspace_id))
        found = (await world.keys.ListConcurrencyKeys(request, metadata=user.metadata)).concurrency_keys
        return {each.key: each.waiting for each in found}

    async def all_there() -> bool:
        return sum((await keys(world.ada)).values()) == 4

    await eventually(all_there, timeout_s=30)
    assert await keys(world.alan) == {"press": 2, "print hush": 1, "print loud": 1}
    assert await keys(world.grace) == {"press": 2, "print loud": 1}
    first = allocation_pb2.ListConcurrencyKeysRequest(workspace_id=str(world.workspace_id), page_size=1)
    page = await world.keys.ListConcurrencyKeys(first, metadata=world.grace.metadata)
    first.page_token = page.next_page_token
    rest = await world.keys.ListConcurrencyKeys(first, metadata=world.grace.metadata)
    assert [each.key for one in (page, rest) for each in one.concurrency_keys] == ["press", "print loud"]
    # Limits are given to a name, by somebody who knows it.
    put = allocation_pb2.PutConcurrencyKeyRequest(
        workspace_id=str(world.workspace_id), key="print hush", concurrency_limit=3
    )
    await world.keys.PutConcurrencyKey(put, metadata=world.alan.metadata)
    assert "print hush" in await keys(world.grace)


@pytest.mark.parametrize("moves", [False, True])
async def test_a_run_of_a_tasks_action_is_hidden_with_the_project_that_the_task_is_in(
    database: Database, clock: ManualClock, task: Any, *, moves: bool
) -> None:
    owner, outsider = uuid7(), uuid7()
    async with database.transaction() as work:
        for user_id, role in ((owner, "owner"), (outsider, "member")):
            await work.execute(
                _JOIN, workspace_id=task.workspace_id, user_id=user_id, role=role, version=1, removed=False
            )
    task.message.action.update({"event": {"type": "plants.watered"}})
    task.message.run_when = executions_pb2.RUN_WHEN_DUE
    task.message.action_state.id = str(uuid7())
    task.message.action_state.given_by = str(owner)
    memberships = Memberships(database, grpc.aio.insecure_channel("unix:/nowhere"))
    async with small_tasks() as tasks:
        # The stream says nothing of the project any more: tasks is asked, once.
        hidden, open_to_all = tasks.add_private(task.workspace_id), str(uuid7())
        projects = PrivateProjects(
            "scheduler",
            database=database,
            memberships=memberships,
            tasks=grpc.aio.insecure_channel(tasks.address),
            nats=None,  # type: ignore[arg-type]
        )
        consumer = Consumer("scheduler", handlers(clock, projects), database=database, nats=None)  # type: ignore[arg-type]
        first, last = (open_to_all, hidden) if moves else (hidden, hidden)
        due_at = clock.now() + timedelta(seconds=1)
        await consumer.handle(task.event("task.created", 1, due_at=due_at, project_id=first))
        await consumer.handle(task.event("task.updated", 2, project_id=last))
        assert tasks.asked == 1
    clock.advance(2)
    egress = EgressPolicy(allow_private=True)
    await fire_task_actions(Executions(database, memberships, clock, egress, on_runs=lambda: None))
    listing = {"workspace_id": task.workspace_id, "status": None, "limit": 10, "before": None}
    (run,) = await calls.page(database, user_id=owner, **listing)
    assert run.project_ids == [hidden]
    assert await calls.page(database, user_id=outsider, **listing) == []
    assert await calls.find(database, user_id=outsider, run_id=run.id) is None
    async with database.transaction() as work:
        assert await calls.lock_open(work, user_id=outsider, run_id=run.id) is None
        assert await calls.lock_open(work, user_id=owner, run_id=run.id) is not None
