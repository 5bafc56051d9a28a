"""Cron expressions: fields, and local time in zones that change their clocks."""

from __future__ import annotations

import contextlib
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st
from rota_scheduler.schedules.cron import CronExpression, InvalidCron, NeverFires
from rota_scheduler.schedules.local import Zoned
from rota_scheduler.schedules.zones import UnknownZone, zone


def times(expression: str, where: str, start: str, count: int) -> list[str]:
    """The next times of an expression as local ISO times with their offset."""
    tz = zone(where)
    cron, moment = Zoned(CronExpression(expression), tz), datetime.fromisoformat(start)
    found = []
    for _ in range(count):
        following = cron.next_after(moment)
        if following is None:
            break
        moment = following
        found.append(moment.astimezone(tz).isoformat())
    return found


@pytest.mark.parametrize(
    ("expression", "where", "start", "expected"),
    [
        (
            "30 8 * * 1-5",
            "Europe/Warsaw",
            "2026-03-27T09:00+01:00",
            ["2026-03-30T08:30:00+02:00", "2026-03-31T08:30:00+02:00"],
        ),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00+00:00", ["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"]),
        (
            "15,45 10 12 * * *",
            "Asia/Kathmandu",
            "2026-01-01T00:00+00:00",
            ["2026-01-01T12:10:15+05:45", "2026-01-01T12:10:45+05:45", "2026-01-02T12:10:15+05:45"],
        ),
        ("0 12 L * *", "UTC", "2026-02-01T00:00+00:00", ["2026-02-28T12:00:00+00:00", "2026-03-31T12:00:00+00:00"]),
    ],
)
def test_gives_the_times_that_match_in_the_zone(expression: str, where: str, start: str, expected: list[str]) -> None:
    assert times(expression, where, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "where", "start", "expected"),
    [
        ("30 2 * * *", "America/New_York", "2026-03-08T00:00-05:00", "2026-03-08T03:00:00-04:00"),
        ("0 30 2 * * *", "America/New_York", "2026-03-08T00:00-05:00", "2026-03-08T03:00:00-04:00"),
        ("0 0 * * *", "America/Santiago", "2026-09-05T12:00-04:00", "2026-09-06T01:00:00-03:00"),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04T00:00+10:30", "2026-10-04T02:30:00+11:00"),
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-29T12:00-10:00", "2011-12-31T00:00:00+14:00"),
    ],
)
def test_a_fixed_time_that_a_gap_skips_comes_at_the_end_of_the_gap(
    expression: str, where: str, start: str, expected: str
) -> None:
    assert times(expression, where, start, 1) == [expected]


def test_fixed_times_within_one_gap_come_once() -> None:
    assert times("0,20,40 2 * * *", "America/New_York", "2026-03-08T00:00-05:00", 2) == [
        "2026-03-08T03:00:00-04:00",
        "2026-03-09T02:00:00-04:00",
    ]


def test_a_fixed_time_within_a_fold_comes_the_first_time_only() -> None:
    assert times("30 1 * * *", "America/New_York", "2026-11-01T00:00-04:00", 2) == [
        "2026-11-01T01:30:00-04:00",
        "2026-11-02T01:30:00-05:00",
    ]


def test_an_hourly_expression_ticks_twice_in_a_fold_and_not_in_a_gap() -> None:
    assert times("0 * * * *", "America/New_York", "2026-11-01T00:30-04:00", 3) == [
        "2026-11-01T01:00:00-04:00",
        "2026-11-01T01:00:00-05:00",
        "2026-11-01T02:00:00-05:00",
    ]
    assert times("0 * * * *", "America/New_York", "2026-03-08T00:30-05:00", 3) == [
        "2026-03-08T01:00:00-05:00",
        "2026-03-08T03:00:00-04:00",
        "2026-03-08T04:00:00-04:00",
    ]


def test_a_yearly_expression_sees_the_second_pass_of_a_fold_that_its_next_match_lies_far_behind() -> None:
    assert times("*/20 1 1 11 *", "America/New_York", "2026-11-01T01:50-04:00", 1) == ["2026-11-01T01:00:00-05:00"]


ZONES = ["America/New_York", "Australia/Lord_Howe", "America/Santiago", "Europe/Warsaw", "Asia/Kathmandu"]
CHANGES = [datetime(2026, month, day, tzinfo=UTC) for month in (3, 4, 9, 10, 11) for day in (1, 5, 8, 25, 29)]


@settings(max_examples=60, deadline=None)
@given(
    where=st.sampled_from(ZONES),
    day=st.sampled_from(CHANGES),
    minute=st.sampled_from(["*", "*/7", "*/30", "0", "59", "15,45"]),
    offset=st.integers(0, 1439),
)
def test_a_ticking_expression_gives_every_real_minute_whose_local_time_matches(
    where: str, day: datetime, minute: str, offset: int
) -> None:
    tz, start = zone(where), day + timedelta(minutes=offset)
    # Asked of a scan over all minutes of real time, each matched on its own.
    matching = {
        local.minute
        for local in itertools.takewhile(
            lambda local: local.hour == 0,
            CronSim(f"{minute} * * * *", datetime(2025, 12, 31, 23, 59)),  # noqa: DTZ001 (a local time)
        )
    }
    expected = [
        moment
        for moment in (start + timedelta(minutes=ahead) for ahead in range(1, 600))
        if moment.astimezone(tz).minute in matching
    ]
    cron, moment = Zoned(CronExpression(f"{minute} * * * *"), tz), start
    found: list[datetime] = []
    while len(found) < len(expected):
        following = cron.next_after(moment)
        assert following is not None
        moment = following
        found.append(moment)
    assert found == expected


@pytest.mark.parametrize(
    "text", ["", "* * * *", "* * * * * * *", "60 * * * *", "a b c d e", "@daily", "1,,2 * * * *", "*/0 * * * *"]
)
def test_refuses_what_is_no_expression(text: str) -> None:
    with pytest.raises(InvalidCron):
        CronExpression(text)


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * * 30 2 *"])
def test_refuses_an_expression_that_no_date_matches(text: str) -> None:
    with pytest.raises(NeverFires):
        CronExpression(text)


def values(expression: str, seed: str, count: int = 4) -> list[str]:
    cron, after, found = CronExpression(expression, seed), datetime(2026, 1, 1), []  # noqa: DTZ001 (local times)
    for _ in range(count):
        local = cron.next_local(after)
        assert local is not None
        found.append(local.isoformat())
        after = local
    return found


def test_h_stands_for_a_value_of_the_schedules_own() -> None:
    assert values("H H * * *", "one") == values("H H * * *", "one")
    assert len({tuple(values("H H * * *", str(number))) for number in range(20)}) > 15


def test_h_steps_from_a_value_of_the_schedules_own_and_keeps_to_its_range() -> None:
    minutes = [int(time[14:16]) for time in values("H/15 * * * *", "one", 8)]
    assert minutes == [minutes[0] + 15 * step for step in range(4)] * 2
    for seed in "abcdefgh":
        assert {9 <= int(time[11:13]) <= 17 for time in values("0 H(9-17) * * *", seed)} == {True}
        assert {int(time[14:16]) < 30 for time in values("H(0-29)/10 * * * *", seed)} == {True}


@pytest.mark.parametrize("text", ["H(9-1) * * * *", "H(0-99) * * * *", "H/0 * * * *", "HH * * * *", "H(1-2-3) * * * *"])
def test_refuses_what_is_no_range_of_h(text: str) -> None:
    with pytest.raises(InvalidCron):
        CronExpression(text)


@settings(deadline=None)
@given(st.text(alphabet="0123456789*/,-#LWMONJAN?½H() ", max_size=40))
def test_whatever_the_text_it_is_an_expression_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidCron, NeverFires):
        Zoned(CronExpression(text), zone("Europe/Warsaw")).next_after(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "europe/warsaw", "../../etc/passwd", "Europe", "localtime"])
def test_refuses_a_zone_that_is_not_an_iana_name(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone(name)
