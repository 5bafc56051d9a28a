"""Days on which schedules do not fire."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from rota_chassis.ids import uuid7
from rota_scheduler.calendars.domain import Calendar, RefusedCalendar
from rota_scheduler.schedules.days_off import OnlyOn, WorkingTimes, days_left_out
from rota_scheduler.schedules.spec import next_after, times_after
from rota_scheduler.schedules.timing import Timing, spec_of

# A Thursday.
START = datetime(2026, 12, 24, 6, tzinfo=UTC)
CALENDAR = Calendar(
    id=uuid7(), workspace_id=uuid7(), name="Holidays", created_by=uuid7(), created_at=START, updated_at=START
)
DAILY = spec_of(Timing(cron="0 9 * * *"), created_at=START)


def times(*calendars: Calendar, count: int = 3, spec: object = DAILY) -> list[datetime]:
    working = WorkingTimes(spec, [each.days_off for each in calendars])  # type: ignore[arg-type]
    return list(islice(times_after(working, START), count))


def test_dates_weekdays_and_rules_of_several_calendars_are_all_left_out() -> None:
    weekend = replace(CALENDAR, weekdays=(5, 6))
    holidays = replace(CALENDAR, dates=("2026-12-24",), rrules=("FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=25",))
    assert [each.date() for each in times(weekend, holidays)] == [date(2026, 12, day) for day in (28, 29, 30)]


def test_a_day_is_that_of_the_calendars_zone() -> None:
    # 09:00 in London is the evening of the same day in Tokyo, 20:00 the morning of the next.
    there = replace(CALENDAR, dates=("2026-12-25",), time_zone="Asia/Tokyo")
    evening = spec_of(Timing(cron="0 20 * * *"), created_at=START)
    assert times(there, count=2) == [datetime(2026, 12, day, 9, tzinfo=UTC) for day in (24, 26)]
    assert times(there, count=2, spec=evening) == [datetime(2026, 12, day, 20, tzinfo=UTC) for day in (25, 26)]


def test_days_of_any_of_some_calendars_are_left_in_each_in_its_own_zone() -> None:
    here = replace(CALENDAR, dates=("2026-12-27",))
    there = replace(CALENDAR, dates=("2026-12-26", "2027-01-02"), time_zone="Pacific/Auckland")
    only = OnlyOn((here.days_off, there.days_off))
    late = spec_of(Timing(cron="0 9,13 * * *"), created_at=START)
    found = list(islice(times_after(WorkingTimes(late, [only]), START), 5))
    # 13:00 is the next day there already.
    assert [(each.day, each.hour) for each in found] == [(25, 13), (26, 9), (27, 9), (27, 13), (1, 13)]


def test_what_is_excluded_is_left_out_of_the_days_that_are_left() -> None:
    weekend, first = (
        replace(CALENDAR, id=uuid7(), weekdays=(5, 6)),
        replace(CALENDAR, id=uuid7(), dates=("2026-12-26",)),
    )
    timing = Timing(
        spec={"only_calendars": [str(weekend.id)], "exclude_calendars": [str(first.id), str(uuid7())]}, cron=None
    )
    left_out = days_left_out(timing, {weekend.id: weekend.days_off, first.id: first.days_off})
    found = list(islice(times_after(WorkingTimes(DAILY, left_out), START), 3))
    assert [each.date() for each in found] == [date(2026, 12, 27), date(2027, 1, 2), date(2027, 1, 3)]
    assert days_left_out(timing, {}) == ()


@pytest.mark.parametrize(
    "cron", [pytest.param("* * * * * *", id="each second"), pytest.param("0 9 * * *", id="each day")]
)
def test_a_search_that_finds_nothing_ends(cron: str) -> None:
    never = replace(CALENDAR, rrules=("FREQ=DAILY",))
    nowhere = OnlyOn((replace(CALENDAR, dates=("2020-01-01",)).days_off,))
    for left_out in (never.days_off, nowhere):
        spec = WorkingTimes(spec_of(Timing(cron=cron), created_at=START), [left_out])
        began = time.monotonic()
        assert next_after(spec, START) is None
        assert time.monotonic() - began < 10


def test_ten_thousand_days_off_are_no_burden() -> None:
    days = tuple(str(date(2026, 12, 24) + timedelta(days=2 * number)) for number in range(10_000))
    busy = replace(CALENDAR, dates=days)
    began = time.monotonic()
    assert len(times(busy, count=1_000)) == 1_000
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("members", "code", "field"),
    [
        pytest.param({"dates": ("2026-02-30",)}, "INVALID_CALENDAR", "dates[0]", id="date"),
        pytest.param({"rrules": ("FREQ=NEVER",)}, "INVALID_CALENDAR", "rrules[0]", id="rule"),
        pytest.param({"rrules": ("FREQ=HOURLY",)}, "INVALID_CALENDAR", "rrules[0]", id="hours"),
        pytest.param({"rrules": ("FREQ=DAILY;BYHOUR=9",)}, "INVALID_CALENDAR", "rrules[0]", id="time of day"),
        pytest.param({"time_zone": "Mars/Olympus"}, "UNKNOWN_TIME_ZONE", "time_zone", id="zone"),
    ],
)
def test_what_means_no_days_is_refused(members: dict[str, object], code: str, field: str) -> None:
    with pytest.raises(RefusedCalendar) as refused:
        _ = replace(CALENDAR, **members).days_off  # type: ignore[arg-type]
    assert (refused.value.code, refused.value.field) == (code, field)
