"""A change, or a deletion, reaches one occurrence, those that follow, or all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
from recurring import (
    DAY,
    DELETED,
    DONE,
    OPEN,
    PLANNED,
    complete,
    daily,
    delete,
    instant,
    living,
    occurrences,
    patch,
    task_of,
)
from rota.tasks.v1 import (
    recurrence_pb2,
    tasks_pb2,
)
from rota_chassis.errors import Conflict, PreconditionFailed
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.clock import ManualClock


async def test_a_change_of_this_alone_is_not_what_others_begin_as(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    await patch(stage, first, title="Water the cactus", due_on="2026-01-05")
    await complete(stage, first)
    second = await task_of(stage, first, "2026-01-02")
    assert (second.title, second.due_on) == ("Water the plants", "2026-01-02")


async def test_a_change_of_all_reaches_open_occurrences_and_those_to_come(stage: Stage) -> None:
    first = await stage.create(due_on="2025-12-30", recurrence=daily(catch_up=recurrence_pb2.RECURRENCE_CATCH_UP_ALL))
    last = await task_of(stage, first, "2026-01-01")
    await complete(stage, await task_of(stage, first, "2025-12-31"))
    changed = await patch(
        stage, first, title="Water all", priority=tasks_pb2.TASK_PRIORITY_LOW, progress=50, scope="all"
    )
    assert (changed.title, changed.progress) == ("Water all", 50)
    shown = [(each.occurrence, each.title, each.progress) for each in await living(stage)]
    assert sorted(shown) == [
        ("2025-12-30", "Water all", 50),
        ("2025-12-31", "Water the plants", 0),
        ("2026-01-01", "Water all", 0),
    ]
    await complete(stage, last)
    following = await task_of(stage, first, "2026-01-02")
    assert (following.title, following.priority) == ("Water all", tasks_pb2.TASK_PRIORITY_LOW)


async def test_a_change_of_those_that_follow_splits_the_series(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily(rrule="FREQ=DAILY;COUNT=3"))
    await complete(stage, first)
    second = await task_of(stage, first, "2026-01-02")
    changed = await patch(stage, second, title="Feed the cat", scope="following")
    assert changed.series_id != first.series_id
    assert changed.occurrence == "2026-01-02"
    assert await occurrences(stage, first) == [("2026-01-01", DONE)]
    await complete(stage, changed)
    third = await task_of(stage, changed, "2026-01-03")
    assert third.title == "Feed the cat"
    await complete(stage, third)
    # The count of the rule goes on.
    await eventually(lambda: _ended_are(stage, 2))
    assert len(await occurrences(stage, third, preview=5)) == 2


async def test_an_occurrence_that_is_made_meanwhile_is_changed_with_those_that_follow(
    stage: Stage, clock: ManualClock
) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    holder = await asyncpg.connect(stage.database_url)
    async with holder.transaction():
        await holder.execute("SELECT FROM task_series FOR UPDATE")
        clock.advance(DAY)
        await eventually(lambda: _waiting_are(stage, 1))
        changing = asyncio.create_task(patch(stage, first, title="Feed the cat", scope="following"))
        await eventually(lambda: _waiting_are(stage, 2))
    changed = await changing
    await task_of(stage, changed, "2026-01-02")
    await holder.close()
    assert await occurrences(stage, changed) == [("2026-01-01", OPEN), ("2026-01-02", OPEN)]
    assert {each.title for each in await living(stage)} == {"Feed the cat"}


async def _waiting_are(stage: Stage, count: int) -> bool:
    connection = await asyncpg.connect(stage.database_url)
    found = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    await connection.close()
    return bool(found == count)


async def _ended_are(stage: Stage, count: int) -> bool:
    connection = await asyncpg.connect(stage.database_url)
    found = await connection.fetchval("SELECT count(*) FROM events WHERE type = 'task_series.ended'")
    await connection.close()
    return bool(found == count)


async def test_new_dates_for_all_begin_a_series_at_the_newest(stage: Stage) -> None:
    first = await stage.create(
        due_at=instant("2026-01-01T09:00:00Z"), recurrence=daily(rrule="FREQ=DAILY;COUNT=3", time_zone="UTC")
    )
    await complete(stage, first)
    second = await task_of(stage, first, "2026-01-02T09:00:00Z")
    moved = await patch(stage, second, due_at=instant("2026-01-02T17:00:00Z"), scope="all")
    assert moved.occurrence == "2026-01-02T17:00:00Z"
    assert moved.recurrence.rrule == "FREQ=DAILY;COUNT=2"
    assert await occurrences(stage, moved, preview=5) == [
        ("2026-01-02T17:00:00Z", OPEN),
        ("2026-01-03T17:00:00Z", PLANNED),
    ]
    with pytest.raises(Conflict) as refused:
        await patch(stage, first, due_at=instant("2026-01-02T18:00:00Z"), scope="following")
    assert refused.value.code == "NOT_THE_LATEST_OCCURRENCE"


async def test_a_new_rule_begins_a_series_and_the_same_one_does_not(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    same = await patch(stage, first, recurrence=first.recurrence)
    assert same.version == 1
    same = await patch(stage, first, recurrence=daily(), title="Water all", scope="all")
    assert same.series_id == first.series_id
    weekly = await patch(stage, first, recurrence=daily(rrule="FREQ=WEEKLY;BYDAY=MO"))
    assert weekly.series_id != first.series_id
    assert (weekly.occurrence, weekly.due_on) == ("2026-01-05", "2026-01-05")
    await complete(stage, weekly)
    await task_of(stage, weekly, "2026-01-12")
    assert await occurrences(stage, weekly) == [("2026-01-05", DONE), ("2026-01-12", OPEN)]


async def test_without_its_recurrence_a_task_stays_and_nothing_follows(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    alone = await patch(stage, first, recurrence=None)
    assert not alone.HasField("recurrence")
    assert alone.series_id == first.series_id
    await complete(stage, alone)
    assert await occurrences(stage, first, preview=5) == [("2026-01-01", DONE)]
    second = await stage.create(due_on="2026-01-01", recurrence=daily())
    request = tasks_pb2.ReplaceTaskRequest(id=second.id, title="x", due_on="2026-01-01", recurrence=second.recurrence)
    kept = (await stage.tasks.ReplaceTask(request, metadata=stage.ada.metadata)).task
    assert kept.recurrence == second.recurrence
    assert kept.series_id == second.series_id
    request.ClearField("recurrence")
    ended = (await stage.tasks.ReplaceTask(request, metadata=stage.ada.metadata)).task
    assert not ended.HasField("recurrence")


async def test_a_task_that_did_not_recur_begins_to(stage: Stage) -> None:
    task = await stage.create()
    recurring = await patch(stage, task, recurrence=recurrence_pb2.Recurrence(every="1w", time_zone="Asia/Kathmandu"))
    assert recurring.due_on == "2026-01-01"
    assert recurring.time_zone == "Asia/Kathmandu"
    at_nine = await stage.create(recurrence=recurrence_pb2.Recurrence(cron="0 9 * * *", time_zone="Europe/Warsaw"))
    assert at_nine.due_at == instant("2026-01-02T08:00:00Z")
    late = await stage.create(recurrence=recurrence_pb2.Recurrence(rrule="FREQ=DAILY", starts_on="2026-02-01"))
    assert late.due_on == "2026-02-01"


async def test_a_change_of_all_that_comes_too_late_is_answered_with_what_there_is(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    newer = await patch(stage, first, title="Feed the cat")
    with pytest.raises(PreconditionFailed) as caught:
        await patch(stage, first, title="Feed the dog", scope="all", if_match=first.etag)
    assert (caught.value.current.title, caught.value.metadata["etag"]) == ("Feed the cat", newer.etag)


async def test_deleting_all_ends_the_series_and_keeps_what_is_done(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    await complete(stage, first)
    second = await task_of(stage, first, "2026-01-02")
    await delete(stage, second, "all")
    assert await occurrences(stage, first, preview=5) == [("2026-01-01", DONE), ("2026-01-02", DELETED)]


async def test_deleting_those_that_follow_keeps_open_ones_before(stage: Stage) -> None:
    first = await stage.create(due_on="2025-12-30", recurrence=daily(catch_up=recurrence_pb2.RECURRENCE_CATCH_UP_ALL))
    await task_of(stage, first, "2026-01-01")
    await delete(stage, await task_of(stage, first, "2025-12-31"), "following")
    assert await occurrences(stage, first, preview=5) == [
        ("2025-12-30", OPEN),
        ("2025-12-31", DELETED),
        ("2026-01-01", DELETED),
    ]
    plain = await stage.create()
    await delete(stage, plain, "all")
    assert plain.id not in [each.id for each in await living(stage)]
