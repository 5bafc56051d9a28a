"""Which nominal times fire, and what is said of the others."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rota_chassis.ids import uuid7
from rota_scheduler.schedules.catchup import MOST, Settled, Unfinished, due_at, settle
from rota_scheduler.schedules.domain import Edits, Schedule, after_run, cursor_of, edit
from rota_scheduler.schedules.policies import Misfire, Overlap, Policies, SkipReason
from rota_scheduler.schedules.spec import times_after
from rota_scheduler.schedules.timing import RefusedTiming, Timing

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def schedule_of(timing: Timing, **policies: Any) -> Schedule:
    bounds = Policies(**policies)
    return Schedule(
        id=uuid7(),
        workspace_id=uuid7(),
        name="Plants",
        timing=timing,
        policies=bounds,
        action={},
        next_fire_at=cursor_of(timing, bounds, created_at=START, now=START, seed=""),
        created_by=uuid7(),
        created_at=START,
        updated_at=START,
    )


def every(seconds: int, **policies: Any) -> Schedule:
    return schedule_of(Timing(interval_s=seconds), **policies)


def settled(schedule: Schedule, now: datetime, running: int = 0, buffered: int = 0) -> Settled:
    return settle(schedule, now, Unfinished(running, buffered))


def started(found: Settled) -> list[datetime]:
    return [start.nominal_time for start in found.starts]


def skipped(found: Settled) -> list[tuple[datetime, datetime, SkipReason]]:
    return [(skip.first, skip.through, skip.reason) for skip in found.skips]


def test_firing_on_time_moves_the_cursor_to_the_next_time() -> None:
    found = settled(every(10), at(10.02))
    assert (started(found), found.skips, found.cursor) == ([at(10)], [], at(20))


def test_before_its_time_nothing_happens() -> None:
    assert settled(every(10), at(9)) == Settled(at(10))


def test_a_single_time_fires_also_when_it_is_past() -> None:
    found = settled(schedule_of(Timing(at=at(-3600))), START)
    assert (started(found), found.cursor) == ([at(-3600)], None)


def test_after_a_short_pause_every_missed_time_fires() -> None:
    found = settled(every(10), at(45))
    assert (started(found), found.skips, found.cursor) == ([at(10), at(20), at(30), at(40)], [], at(50))


def test_after_a_long_pause_the_times_within_the_window_fire_and_the_others_are_accounted_for() -> None:
    found = settled(every(20), at(100))
    assert started(found) == [at(40), at(60), at(80), at(100)]
    assert skipped(found) == [(at(20), at(20), SkipReason.CATCH_UP)]


@pytest.mark.parametrize(
    ("misfire", "fires"), [(Misfire.SKIP, []), (Misfire.ONE, [300]), (Misfire.ALL, [100, 200, 300])]
)
def test_when_none_of_the_missed_times_is_within_the_window_misfire_decides(misfire: Misfire, fires: list[int]) -> None:
    found = settled(every(100, misfire=misfire), at(399))
    assert started(found) == [at(seconds) for seconds in fires]
    assert [first for first, _, _ in skipped(found)] == [at(each) for each in (100, 200, 300) if each not in fires]
    assert found.cursor == at(400)


def test_the_latest_missed_time_is_found_at_once_however_long_the_pause_and_dense_the_times() -> None:
    schedule = replace(schedule_of(Timing(cron="* * * * 1 *")), next_fire_at=datetime(2020, 1, 1, tzinfo=UTC))
    begun = time.process_time()
    found = settled(schedule, datetime(2026, 7, 1, tzinfo=UTC))
    last = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
    assert started(found) == [last]
    assert skipped(found) == [(schedule.next_fire_at, last - timedelta(seconds=1), SkipReason.CATCH_UP)]
    assert time.process_time() - begun < 1


def test_what_is_missed_when_the_schedule_has_ended_is_expired() -> None:
    found = settled(every(100, ends_at=at(250)), at(1000))
    assert (started(found), found.cursor) == ([], None)
    assert skipped(found) == [(at(each), at(each), SkipReason.EXPIRED) for each in (100, 200)]


def test_no_time_lies_outside_the_bounds() -> None:
    schedule = every(10, starts_at=at(25), ends_at=at(50))
    assert list(times_after(schedule.spec, START)) == [at(30), at(40)]
    assert schedule.next_fire_at == at(30)


def test_after_max_runs_there_are_no_more_times() -> None:
    found = settled(every(10, max_runs=2), at(45))
    assert (started(found), found.skips, found.cursor) == ([at(10), at(20)], [], None)


def test_a_paused_schedule_accounts_for_each_of_its_times() -> None:
    found = settled(replace(every(10), paused=True), at(25))
    assert skipped(found) == [(at(each), at(each), SkipReason.PAUSED) for each in (10, 20)]
    assert (started(found), found.cursor) == ([], at(30))
    found = settled(replace(every(1), paused=True), at(100_000.5))
    assert skipped(found) == [(at(1), at(100_000), SkipReason.PAUSED)]


@pytest.mark.parametrize(
    ("overlap", "unfinished", "fires", "waits"),
    [
        (Overlap.ALLOW_ALL, (5, 0), [10, 20, 30], []),
        (Overlap.SKIP, (0, 0), [10], []),
        (Overlap.SKIP, (1, 0), [], []),
        (Overlap.BUFFER_ONE, (0, 0), [10, 20], [20]),
        (Overlap.BUFFER_ONE, (1, 0), [10], [10]),
        (Overlap.BUFFER_ONE, (1, 1), [], []),
    ],
)
def test_overlap_decides_what_fires_while_a_run_has_not_ended(
    overlap: Overlap, unfinished: tuple[int, int], fires: list[int], waits: list[int]
) -> None:
    found = settled(every(10, overlap=overlap), at(30), *unfinished)
    assert started(found) == [at(seconds) for seconds in fires]
    assert [start.nominal_time for start in found.starts if start.buffered] == [at(seconds) for seconds in waits]
    others = [each for each in (10, 20, 30) if each not in fires]
    assert skipped(found) == [(at(each), at(each), SkipReason.OVERLAP) for each in others]


def test_jitter_delays_a_time_by_the_same_part_each_time_and_not_beyond_the_next() -> None:
    schedule = every(10, jitter_s=3600)
    assert at(10) < due_at(schedule, at(10)) <= at(20)
    assert due_at(schedule, at(10)) == due_at(replace(schedule, name="Other"), at(10))
    assert len({due_at(every(3600, jitter_s=600), at(3600)) for _ in range(20)}) > 15
    due = due_at(schedule, at(10))
    assert started(settled(schedule, due - timedelta(milliseconds=1))) == []
    assert started(settled(schedule, due)) == [at(10)]


@settings(max_examples=150, deadline=None)
@given(
    every_s=st.integers(1, 50),
    ticks=st.lists(st.integers(0, 900), min_size=1, max_size=8),
    misfire=st.sampled_from(Misfire),
    overlap=st.sampled_from(Overlap),
    catch_up_s=st.integers(0, 300),
    jitter_s=st.integers(0, 30),
    paused=st.booleans(),
)
def test_every_nominal_time_is_accounted_for_exactly_once(
    every_s: int, ticks: list[int], *, misfire: Misfire, overlap: Overlap, catch_up_s: int, jitter_s: int, paused: bool
) -> None:
    policies = {"misfire": misfire, "overlap": overlap, "catch_up_s": catch_up_s, "jitter_s": jitter_s}
    schedule, accounted, now = replace(every(every_s, **policies), paused=paused), [], START
    for tick in ticks:
        now += timedelta(seconds=tick)
        for _ in range(1 + 1000 // MOST * 8):
            found = settled(schedule, now)
            accounted += [(time, time) for time in started(found)]
            accounted += [(skip.first, skip.through) for skip in found.skips]
            schedule = replace(schedule, next_fire_at=found.cursor)
    accounted.sort()
    expected = at(every_s)
    for first, through in accounted:
        assert first == expected
        assert (through - first) % timedelta(seconds=every_s) == timedelta(0)
        expected = through + timedelta(seconds=every_s)
    assert schedule.next_fire_at == expected
    assert all(before[1] < after[0] for before, after in pairwise(accounted))
    assert expected + timedelta(seconds=min(jitter_s, every_s)) >= now


def test_new_times_count_from_now_on() -> None:
    edited = edit(every(10), Edits(timing={"interval_s": 60}), now=at(25))
    assert (edited.next_fire_at, edited.version) == (at(60), 2)
    moved = edit(every(10), Edits(policies={"starts_at": at(95)}), now=at(25))
    assert moved.next_fire_at == at(100)


def test_an_edit_that_changes_nothing_gives_the_schedule_itself() -> None:
    schedule = every(10)
    assert edit(schedule, Edits(name="Plants", timing={"interval_s": 10}), now=at(25)) is schedule


def test_more_runs_than_it_may_have_still_end_a_schedule_that_is_edited() -> None:
    schedule = replace(every(10), runs_started=5)
    assert edit(schedule, Edits(policies={"max_runs": 5}), now=at(25)).next_fire_at is None
    assert edit(schedule, Edits(policies={"max_runs": 6}), now=at(25)).next_fire_at == at(30)


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(RefusedTiming) as caught:
        every(10, starts_at=at(50), ends_at=at(50))
    assert (caught.value.code, caught.value.field) == ("INVALID_SPEC", "ends_at")


def test_a_schedule_that_ended_before_now_is_refused() -> None:
    with pytest.raises(RefusedTiming) as caught:
        every(10, ends_at=at(5))
    assert (caught.value.code, caught.value.field) == ("SCHEDULE_NEVER_FIRES", "interval_s")


def test_a_schedule_is_paused_after_so_many_failures_in_a_row() -> None:
    schedule = every(10, pause_after_failures=2)
    schedule = after_run(schedule, succeeded=False, now=START)
    schedule = after_run(schedule, succeeded=True, now=START)
    schedule = after_run(schedule, succeeded=False, now=START)
    assert not schedule.paused
    schedule = after_run(schedule, succeeded=False, now=START)
    assert (schedule.paused, schedule.pause_note) == (True, "Paused after 2 failed runs in a row.")
