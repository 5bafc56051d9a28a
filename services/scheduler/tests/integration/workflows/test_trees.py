"""How much grows from one run of a workflow, whoever starts what at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.errors import Conflict
from rota_chassis.postgres.statements import statement
from rota_scheduler.workflows import commands, engine, queries
from rota_scheduler.workflows.state import Order, RunStatus
from rota_scheduler.workflows.tables import RUNS, run_of
from rota_scheduler.workflows.trees import Limits
from sqlalchemy import select, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.workflows.dependencies import Workflows
    from rota_scheduler.workflows.model import Workflow, WorkflowRun

WAIT = {"steps": {"wait": {"wait": {"signal": "go"}}}}
_RUNS = statement(select(RUNS).order_by(RUNS.c.id))


async def create(workflows: Workflows, user: UserPrincipal, definition: dict[str, Any]) -> Workflow:
    return await commands.create_workflow(
        workflows, user, workspace_id=user.workspace_id, name="Grow", definition=definition
    )


async def start(workflows: Workflows, user: UserPrincipal, workflow: Workflow, **how: Any) -> WorkflowRun:
    return await commands.start_workflow(
        workflows, user, workflow_id=workflow.id, **({"content": None, "request_id": None} | how)
    )


async def going_on(database: Database, root: WorkflowRun) -> list[WorkflowRun]:
    found = [run_of(row) for row in await database.fetch(_RUNS)]
    return [run for run in found if run.root_id == root.id and run.finished_at is None]


def over(workflow: Workflow, count: int, **how: Any) -> dict[str, Any]:
    each = {"in": f"[{', '.join(map(str, range(count)))}]", "max_parallel": 100, "on_item_failure": "continue"}
    return {"steps": {"grow": {"for_each": each | how, "workflow": {"workflow_id": str(workflow.id)}}}}


@pytest.fixture
def small(replicas: Sequence[Database], workflows_of: Callable[[Database], Workflows]) -> list[Workflows]:
    """Replicas that let six runs go on within one, three deep."""
    return [replace(workflows_of(each), limits=Limits(runs=6, depth=3)) for each in replicas]


async def test_a_step_that_starts_one_too_many_says_so_and_the_others_go_on(
    database: Database, small: Sequence[Workflows], user: UserPrincipal
) -> None:
    workflows = small[0]
    waiting = await create(workflows, user, WAIT)
    root = await start(workflows, user, await create(workflows, user, over(waiting, 8)))
    assert root.state.status is RunStatus.RUNNING
    inner = await going_on(database, root)
    assert [run.depth for run in inner] == [1] * 6
    found = await queries.list_items(workflows, user, run_id=root.id, step="grow", limit=9, after=-1, status=None)
    assert [each.error for each in found][6:] == [Limits(runs=6).full] * 2
    # One that is set off by itself has a tree of its own.
    other = await start(workflows, user, await create(workflows, user, over(waiting, 6)))
    assert len(await going_on(database, other)) == 6


async def test_replicas_that_start_some_at_once_start_no_more_than_there_may_be(
    database: Database, clock: ManualClock, small: Sequence[Workflows], user: UserPrincipal
) -> None:
    waiting = await create(small[0], user, WAIT)
    grow = over(waiting, 3)["steps"]["grow"]
    steps = {
        **WAIT["steps"],
        "grow": {**grow, "needs": ["wait"]},
        "hold": {"needs": ["grow"], "wait": {"signal": "end"}},
    }
    middle = await create(small[0], user, {"steps": steps})
    outer = await create(small[0], user, over(middle, 3))
    roots = [await start(small[0], user, outer) for _ in range(2)]
    clock.advance(1)
    await asyncio.gather(*(engine.wake_runs(each) for each in small))
    told = [run for root in roots for run in await going_on(database, root)]
    assert len(told) == 6
    replicas = (small[place % 3] for place in range(6))
    await asyncio.gather(
        *(
            commands.signal(each, user, run_id=run.id, name="go", data=None)
            for each, run in zip(replicas, told, strict=True)
        )
    )
    for root in roots:
        assert sorted(run.depth for run in await going_on(database, root)) == [1, 1, 1, 2, 2, 2]


async def test_actions_that_start_some_within_one_run_at_once_start_no_more_than_there_may_be(
    database: Database, small: Sequence[Workflows], user: UserPrincipal
) -> None:
    waiting = await create(small[0], user, WAIT)
    root = await start(small[0], user, waiting)
    calls = [start(small[place % 3], user, waiting, request_id=f"run {place}", within=root.id) for place in range(9)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, Conflict)]
    assert [each.code for each in refused] == ["WORKFLOW_TREE_FULL"] * 3
    started = [each for each in outcomes if not isinstance(each, BaseException)]
    assert {run.id for run in started} == {run.id for run in await going_on(database, root)}
    # A repeated attempt finds what the first has started, though there is no room; an end makes room.
    first = outcomes.index(started[0])
    again = await start(small[1], user, waiting, request_id=f"run {first}", within=root.id)
    assert again.id == started[0].id
    await commands.order(small[0], user, run_id=again.id, given=Order.CANCEL)
    await start(small[0], user, waiting, within=root.id)


async def test_one_that_is_too_deep_is_refused(small: Sequence[Workflows], user: UserPrincipal) -> None:
    waiting = await create(small[0], user, WAIT)
    run = await start(small[0], user, waiting)
    for depth in range(1, 4):
        run = await start(small[0], user, waiting, within=run.id)
        assert run.depth == depth
    with pytest.raises(Conflict, match="at most 3 deep") as refused:
        await start(small[0], user, waiting, within=run.id)
    assert refused.value.code == "WORKFLOW_TREE_TOO_DEEP"


async def test_runs_that_are_retried_at_once_find_no_more_room_than_there_is(
    database: Database, small: Sequence[Workflows], user: UserPrincipal
) -> None:
    waiting = await create(small[0], user, WAIT)
    root = await start(small[0], user, waiting)
    inner = [await start(small[0], user, waiting, within=root.id) for _ in range(6)]
    ended = inner[:3]
    for run in ended:
        await commands.order(small[0], user, run_id=run.id, given=Order.CANCEL)
    for _ in range(2):
        await start(small[0], user, waiting, within=root.id)
    outcomes = await asyncio.gather(
        *(
            commands.retry(workflows, user, run_id=run.id, step=None)
            for workflows, run in zip(small, ended, strict=True)
        ),
        return_exceptions=True,
    )
    refused = [each for each in outcomes if isinstance(each, Conflict)]
    assert [each.code for each in refused] == ["WORKFLOW_TREE_FULL"] * 2
    assert len(await going_on(database, root)) == 6
    left = next(run for run, outcome in zip(ended, outcomes, strict=True) if isinstance(outcome, Conflict))
    kept = await queries.get_run(small[0], user, run_id=left.id)
    assert (kept.state.status, kept.state.attempt) == (RunStatus.CANCELLED, 1)
    assert kept.finished_at is not None
    # An end makes room; the outermost run is not one of those within it.
    await commands.order(small[1], user, run_id=inner[5].id, given=Order.CANCEL)
    assert (await commands.retry(small[1], user, run_id=left.id, step=None)).finished_at is None
    await commands.order(small[0], user, run_id=root.id, given=Order.CANCEL)
    await commands.retry(small[0], user, run_id=root.id, step=None)


async def test_a_run_that_is_retried_takes_its_place_before_those_that_it_starts(
    database: Database, small: Sequence[Workflows], user: UserPrincipal
) -> None:
    waiting = await create(small[0], user, WAIT)
    grows = await create(small[0], user, over(waiting, 2))
    root = await start(small[0], user, waiting)
    run = await start(small[0], user, grows, within=root.id)
    for each in await going_on(database, root):
        await commands.order(small[0], user, run_id=each.id, given=Order.CANCEL)
    for _ in range(4):
        await start(small[0], user, waiting, within=root.id)
    again = await commands.retry(small[0], user, run_id=run.id, step=None)
    assert again.state.status is RunStatus.RUNNING
    assert len(await going_on(database, root)) == 6
    found = await queries.list_items(small[0], user, run_id=run.id, step="grow", limit=9, after=-1, status=None)
    assert [each.error for each in found] == [None, Limits(runs=6).full]


@pytest.mark.parametrize("spoilt", ["definition = '{}'", "definition = '[7]'", "state = '[]'"])
async def test_a_run_that_cannot_be_read_is_not_retried_and_says_so(
    database: Database, clock: ManualClock, small: Sequence[Workflows], user: UserPrincipal, spoilt: str
) -> None:
    run = await start(small[0], user, await create(small[0], user, {"steps": {"wait": {"wait": {"for_s": 60}}}}))
    async with database.transaction() as work:
        await work.execute(statement(text(f"UPDATE workflow_runs SET {spoilt}")))  # noqa: S608 (of this test)
    clock.advance(60)
    await engine.wake_runs(small[0])
    with pytest.raises(Conflict, match="start another") as refused:
        await commands.retry(small[0], user, run_id=run.id, step=None)
    assert refused.value.code == "WORKFLOW_RUN_LOST"
    assert (await queries.get_run(small[0], user, run_id=run.id)).state.status is RunStatus.FAILED
