"""Nominal times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rota_scheduler.schedules.spec import Interval
from rota_scheduler.schedules.timing import RefusedTiming, Timing, spec_of

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_an_interval_counts_from_its_start_which_is_not_one_of_its_times() -> None:
    spec = Interval(10, START)
    assert spec.next_after(at(-100)) == at(10)
    assert spec.next_after(START) == at(10)
    assert spec.next_after(at(9.999)) == at(10)
    assert spec.next_after(at(10)) == at(20)


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
