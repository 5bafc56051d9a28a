"""Runs that have ended move to the history, and are there for whoever asks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.waiting import eventually
from rota_scheduler.runs import claims, finishing, store
from rota_scheduler.runs.domain import LEASE, End, Run, Status
from rota_scheduler.runs.finishing import Ended
from rota_scheduler.runs.history import tend_history
from rota_scheduler.runs.tables import FIELDS
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock

    MakeRun = Callable[[Mapping[str, Any]], Run]

ACTION = {"create_task": {"title": "Water the plants"}}
WHERE = statement(text("SELECT CAST(CAST(tableoid AS regclass) AS text) AS name FROM run_history ORDER BY finished_at"))
UNFINISHED = statement(text("SELECT count(*) AS n FROM runs"))
IN_THE_REST = statement(text("SELECT count(*) FROM run_history_rest"))
WAITING = statement(
    text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
)
# As replicas of the version before this one do it.
END_IN_PLACE = statement(
    text("UPDATE runs SET status = 'succeeded', available_at = NULL, finished_at = CAST(:finished_at AS timestamptz)")
)
COLUMNS = statement(
    text(
        """
        SELECT array_agg(attname ORDER BY attnum) AS names FROM pg_attribute
        WHERE attrelid = CAST(CAST(:name AS text) AS regclass) AND attnum > 0 AND NOT attisdropped
            AND attgenerated = ''
        """
    )
)


async def add(database: Database, *runs: Run) -> int:
    async with database.transaction() as work:
        return await store.add(work, runs)


async def claim(database: Database, runs: Sequence[Run], now: datetime) -> Sequence[Run]:
    await add(database, *(replace(run, available_at=now) for run in runs))
    async with database.transaction() as work:
        claimed = await claims.claim(work, now=now, lease_until=now + LEASE, limit=len(runs))
    assert len(claimed.runs) == len(runs)
    return claimed.runs


async def finish(database: Database, runs: Sequence[Run], now: datetime) -> None:
    async with database.transaction() as work:
        await finishing.finish(work, [Ended(run, End(Status.SUCCEEDED)) for run in runs], finished_at=now)


async def end(database: Database, runs: Sequence[Run], now: datetime) -> None:
    await finish(database, await claim(database, runs, now), now)


async def test_what_has_ended_is_no_longer_among_what_has_not(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    run = make_run(ACTION)
    await end(database, [run], clock.now())
    assert await database.fetch_value(UNFINISHED) == 0
    (listed,) = await store.page(
        database, workspace_id=run.workspace_id, schedule_id=run.schedule_id, limit=5, before=None
    )
    found = await store.get(database, workspace_id=run.workspace_id, run_id=run.id)
    assert listed == found
    assert (listed.status, listed.finished_at) == (Status.SUCCEEDED, clock.now())


async def test_both_tables_have_the_same_columns_but_those_that_the_database_makes(database: Database) -> None:
    runs = await database.fetch_value(COLUMNS, name="runs")
    assert await database.fetch_value(COLUMNS, name="run_history") == runs
    assert set(runs) == set(FIELDS)


async def test_runs_of_both_are_one_list_newest_first(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    of = make_run(ACTION)
    runs = [replace(make_run(ACTION), workspace_id=of.workspace_id, schedule_id=of.schedule_id) for _ in range(6)]
    runs = [replace(run, nominal_time=clock.now() - timedelta(minutes=n)) for n, run in enumerate(runs)]
    await end(database, runs[::2], clock.now())
    await add(database, *runs[1::2])
    pages, before = [], None
    for _ in range(3):
        page = await store.page(
            database, workspace_id=of.workspace_id, schedule_id=of.schedule_id, limit=2, before=before
        )
        pages += [run.id for run in page]
        before = page[-1].nominal_time
    assert pages == [run.id for run in runs]
    times = await store.nominal_times(
        database,
        workspace_id=of.workspace_id,
        schedule_id=of.schedule_id,
        start=clock.now() - timedelta(hours=1),
        end=clock.now(),
    )
    assert times == {run.nominal_time for run in runs[1:]}


@pytest.mark.parametrize("ended", [False, True])
async def test_a_nominal_time_has_one_run_whether_that_has_ended_or_not(
    database: Database, clock: ManualClock, make_run: MakeRun, *, ended: bool
) -> None:
    run = make_run(ACTION)
    if ended:
        await end(database, [run], clock.now())
    else:
        await add(database, run)
    again = replace(make_run(ACTION), **{n: getattr(run, n) for n in ("workspace_id", "schedule_id", "nominal_time")})
    assert await add(database, again, replace(again, nominal_time=clock.now() + timedelta(days=1))) == 1
    async with database.transaction() as work:
        assert (await store.add_manual(work, replace(run, acts_for=run.id))).acts_for == run.acts_for
        beside = await store.add_manual(work, replace(again, manual=True, id=run.schedule_id))
    assert beside.nominal_time == run.nominal_time + timedelta(microseconds=1)


async def test_what_an_older_replica_ends_in_place_is_seen_and_swept_up(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    run = make_run(ACTION)
    await add(database, run)
    async with database.transaction() as work:
        await work.execute(END_IN_PLACE, finished_at=clock.now())
    before = await store.get(database, workspace_id=run.workspace_id, run_id=run.id)
    await tend_history(database, clock, days=90)
    assert await database.fetch_value(UNFINISHED) == 0
    assert await store.get(database, workspace_id=run.workspace_id, run_id=run.id) == before
    assert before is not None
    assert before.status is Status.SUCCEEDED


async def test_months_are_made_ahead_take_over_what_waits_for_them_and_are_dropped_as_a_whole(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun
) -> None:
    database = replicas[0]
    clock.set(datetime(2026, 12, 15, tzinfo=UTC))
    before_any_month = make_run(ACTION)
    await end(database, [before_any_month], clock.now())
    assert [row["name"] for row in await database.fetch(WHERE)] == ["run_history_rest"]
    await asyncio.gather(*(tend_history(each, clock, days=60) for each in replicas))
    await tend_history(database, clock, days=60)
    assert [row["name"] for row in await database.fetch(WHERE)] == ["run_history_2026_12"]
    for later in (datetime(2027, 1, 31, 23, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)):
        await end(database, [make_run(ACTION)], later)
    assert [row["name"] for row in await database.fetch(WHERE)] == [
        "run_history_2026_12",
        "run_history_2027_01",
        "run_history_2027_02",
    ]
    clock.set(datetime(2027, 3, 2, tzinfo=UTC))
    # Sixty days before lies in January, which goes when all of it is older.
    await tend_history(database, clock, days=60)
    assert [row["name"] for row in await database.fetch(WHERE)] == ["run_history_2027_01", "run_history_2027_02"]
    found = await store.get(database, workspace_id=before_any_month.workspace_id, run_id=before_any_month.id)
    assert found is None


async def test_a_run_that_ends_while_its_month_is_made_is_in_it(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun
) -> None:
    database, other = replicas[:2]
    claimed = await claim(database, [make_run(ACTION)], clock.now())
    async with other.transaction() as reading:
        await reading.fetch(IN_THE_REST)
        making = asyncio.create_task(tend_history(database, clock, days=90))
        await eventually(lambda: _waiting(database, 1))
        ending = asyncio.create_task(finish(database, claimed, clock.now()))
        await eventually(lambda: _waiting(database, 2))
    await asyncio.gather(making, ending)
    assert [row["name"] for row in await database.fetch(WHERE)] == [f"run_history_{clock.now():%Y_%m}"]


async def _waiting(database: Database, count: int) -> bool:
    return await database.fetch_value(WAITING) == count


async def test_what_no_month_was_made_for_is_forgotten_too(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    await end(database, [make_run(ACTION)], clock.now() - timedelta(days=400))
    await tend_history(database, clock, days=90)
    assert await database.fetch(WHERE) == []
