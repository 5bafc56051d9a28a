"""Nominal times, and which of them fire after a pause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rota_scheduler.schedules.catchup import Due, due, first_fire_at
from rota_scheduler.schedules.cron import CronExpression
from rota_scheduler.schedules.local import Zoned
from rota_scheduler.schedules.spec import Interval, Once
from rota_scheduler.schedules.timing import RefusedTiming, Timing, spec_of
from rota_scheduler.schedules.zones import zone

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_an_interval_counts_from_its_start_which_is_not_one_of_its_times() -> None:
    spec = Interval(10, START)
    assert spec.next_after(at(-100)) == at(10)
    assert spec.next_after(START) == at(10)
    assert spec.next_after(at(9.999)) == at(10)
    assert spec.next_after(at(10)) == at(20)


def test_a_single_time_fires_also_when_it_is_past() -> None:
    spec = Once(at(-3600))
    assert first_fire_at(spec, START) == at(-3600)
    assert due(spec, at(-3600), START) == Due((at(-3600),), None)


def test_firing_on_time_moves_the_cursor_to_the_next_time() -> None:
    assert due(Interval(10, START), at(10), at(10.02)) == Due((at(10),), at(20))


def test_after_a_short_pause_every_missed_time_fires() -> None:
    assert due(Interval(10, START), at(10), at(45)) == Due((at(10), at(20), at(30), at(40)), at(50))


def test_after_a_long_pause_the_times_of_the_last_minute_fire() -> None:
    found = due(Interval(20, START), at(20), at(1000))
    assert found == Due((at(960), at(980), at(1000)), at(1020))


def test_when_none_of_the_missed_times_is_recent_the_latest_fires() -> None:
    daily = Zoned(CronExpression("0 9 * * *"), zone("Europe/Warsaw"))
    cursor = datetime(2026, 1, 2, 8, tzinfo=UTC)
    found = due(daily, cursor, datetime(2026, 1, 20, 15, tzinfo=UTC))
    assert found == Due((datetime(2026, 1, 20, 8, tzinfo=UTC),), datetime(2026, 1, 21, 8, tzinfo=UTC))


def test_the_latest_missed_time_is_found_at_once_however_long_the_pause_and_dense_the_times() -> None:
    january = Zoned(CronExpression("* * * * 1 *"), zone("UTC"))
    found = due(january, datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
    assert found.nominal_times == (datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC),)


@pytest.mark.parametrize(
    ("timing", "code", "field"),
    [
        (Timing(cron="61 * * * *", timezone="UTC"), "INVALID_CRON", "cron"),
        (Timing(cron="0 0 30 2 *", timezone="UTC"), "SCHEDULE_NEVER_FIRES", "cron"),
        (Timing(cron="0 0 * * *", timezone="Mars/Olympus"), "UNKNOWN_TIME_ZONE", "timezone"),
        (Timing(interval_s=5, timezone="Mars/Olympus"), "UNKNOWN_TIME_ZONE", "timezone"),
    ],
)
def test_refuses_times_that_make_no_sense_and_says_which_field(timing: Timing, code: str, field: str) -> None:
    with pytest.raises(RefusedTiming) as caught:
        spec_of(timing, created_at=START)
    assert (caught.value.code, caught.value.field) == (code, field)
