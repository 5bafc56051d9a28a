"""The statement that ends held runs tells of it as everything else that ends runs does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import schedules_pb2
from rota_chassis.events.log import EVENTS
from rota_chassis.events.types import event_type_of
from rota_chassis.ids import uuid7
from rota_chassis.postgres.statements import statement
from rota_scheduler.runs import finishing, store
from rota_scheduler.runs.domain import End, Run, Status, as_claimed
from rota_scheduler.runs.finishing import Ended
from rota_scheduler.runs.messages import FINISHED_VERSION, run_finished
from rota_scheduler.runs.tables import RUNS
from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock

    MakeRun = Callable[[Mapping[str, Any]], Run]

LOGGED = statement(select(EVENTS))
WORK = statement(update(RUNS).values(work=bindparam("work", type_=JSONB)))
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ACTION = {"create_task": None, "http": {"method": "get", "url": "http://a.example/", "body": None}, "retry": {}}
SAID = {
    "lease_s": 30,
    "percent": 0,
    "message": "O\u2019Neil\u2019s",
    "worker": "w1",
    "reported_at": "2026-03-01T09:30:00.250000Z",
}
ALL = {
    "manual": True,
    "priority": -7,
    "concurrency_key": "oven",
    "concurrency_limit": 3,
    "allocation": {
        "policy": "cancel_newest",
        "group": "bread",
        "rate": {"limit": 2, "period_s": 60},
        "resources": {"heat": 4, "hands": 1},
        "lane": "1",
    },
    "work": SAID,
    "action": {**ACTION, "of_projects": ["a", "b"]},
}


def encoded(run: Run) -> Any:
    event = run_finished(run, run.finished_at or run.nominal_time)
    return event_type_of(events_pb2.RunFinished).encode(event.data)


@pytest.fixture(autouse=True)
def _not_a_whole_second(clock: ManualClock) -> None:
    clock.advance(0.120003)


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        pytest.param({}, End(Status.SUCCEEDED), id="nothing but its end"),
        pytest.param({}, End(Status.FAILED, None, 503, 'It\u2019s "away"\n', "\u00e9"), id="why it failed"),
        pytest.param({"concurrency_key": "oven", "concurrency_limit": 2}, End(Status.SUCCEEDED), id="its key"),
        pytest.param({"allocation": {"resources": {"heat": 1}}}, End(Status.SUCCEEDED), id="its resources"),
        pytest.param(
            {"work": {"lease_s": 5, "reported_at": SAID["reported_at"]}}, End(Status.SUCCEEDED), id="a silent worker"
        ),
        pytest.param(
            ALL, End(Status.FAILED, uuid7(), 500, "no", "answer", {"a": [1, 2.5, None, "x"]}), id="all that there is"
        ),
    ],
)
async def test_the_end_of_a_held_run_is_told_as_the_contract_writes_it(
    database: Database, clock: ManualClock, make_run: MakeRun, fields: Mapping[str, Any], end: End
) -> None:
    run = replace(as_claimed(make_run(ACTION), clock.now()), **fields)
    async with database.transaction() as unit:
        assert await store.add_claimed(unit, [run], started_at=clock.now()) == {run.id}
        await unit.execute(WORK, work=fields.get("work"))
    clock.advance(2.0)
    async with database.transaction() as unit:
        assert not unit.has_events
        assert await finishing.finish(unit, [Ended(run, end, TRACE)], finished_at=clock.now()) == {run.id}
        assert unit.has_events
    found = await store.get(database, workspace_id=run.workspace_id, run_id=run.id)
    assert found is not None
    (event,) = await database.fetch(LOGGED)
    assert event["data"] == encoded(found)
    told = event_type_of(events_pb2.RunFinished).read(event["data"], event["schema_version"]).run
    if fields is ALL:
        missing = {field.name for field in schedules_pb2.Run.DESCRIPTOR.fields} - {
            each.name for each, _ in told.ListFields()
        }
        assert missing == {"wait_reason"}
    kind = event_type_of(events_pb2.RunFinished)
    assert (event["aggregate"], event["aggregate_id"], event["aggregate_version"]) == ("run", run.id, FINISHED_VERSION)
    assert (event["type"], event["schema_version"]) == (kind.name, kind.version)
    assert (event["workspace_id"], event["time"], event["actor"]) == (run.workspace_id, clock.now(), "system")
    assert (event["traceparent"], event["causation_depth"]) == (TRACE, 0)


async def test_nothing_is_told_of_a_run_that_its_holder_has_lost(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    async with database.transaction() as unit:
        run = as_claimed(make_run(ACTION), clock.now())
        await store.add_claimed(unit, [run], started_at=clock.now())
        stale = Ended(replace(run, fence=run.fence - 1), End(Status.SUCCEEDED))
        assert await finishing.finish(unit, [stale], finished_at=clock.now()) == frozenset()
        assert not unit.has_events
    assert await database.fetch(LOGGED) == []
