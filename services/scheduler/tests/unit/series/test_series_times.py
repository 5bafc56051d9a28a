"""Which occurrences a rule means, and when a series gets its next one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from rota_scheduler.series.domain import Decision, Series, decide, upcoming
from rota_scheduler.series.times import (
    Anchor,
    CatchUp,
    Recurrence,
    RefusedRecurrence,
    first_of,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def series(recurrence: Recurrence, latest: str = "", **fields: object) -> Series:
    values = {
        "workspace_id": UUID(int=1),
        "id": UUID(int=2),
        "version": 1,
        "recurrence": recurrence,
        "latest": latest,
        "closed_at": None,
        "occurrences": 1,
        "skipped": frozenset(),
        "lead": timedelta(0),
    }
    return Series(**values | fields)


def names(found: Series, now: str, count: int) -> list[str]:
    return [each.name for each in upcoming(found, at(now), count)]


DAILY = Recurrence(rrule="FREQ=DAILY", time_zone="Europe/Warsaw", start=at("2026-11-20T09:00:00+01:00"))
NOON = "2026-11-21T12:00:00Z"


@pytest.mark.parametrize(
    ("zone", "start", "expected"),
    [
        ("Europe/Warsaw", "2026-03-28T09:00:00+01:00", ["08:00", "07:00", "07:00"]),
        ("Europe/Warsaw", "2026-10-24T09:00:00+02:00", ["07:00", "08:00", "08:00"]),
        ("America/New_York", "2026-03-07T09:00:00-05:00", ["14:00", "13:00", "13:00"]),
        ("America/New_York", "2026-10-31T09:00:00-04:00", ["13:00", "14:00", "14:00"]),
        ("Australia/Lord_Howe", "2026-04-04T09:00:00+11:00", ["22:00", "22:30", "22:30"]),
        ("Australia/Lord_Howe", "2026-10-03T09:00:00+10:30", ["22:30", "22:00", "22:00"]),
    ],
)
def test_nine_in_the_morning_stays_nine_when_the_clock_changes(zone: str, start: str, expected: list[str]) -> None:
    daily = series(Recurrence(rrule="FREQ=DAILY", time_zone=zone, start=at(start)))
    assert [name[11:16] for name in names(daily, NOON, 3)] == expected


@pytest.mark.parametrize(
    ("zone", "start", "gap"),
    [
        ("Europe/Warsaw", "2026-03-28T02:30:00+01:00", "2026-03-29T01:00:00Z"),
        ("America/New_York", "2026-03-07T02:30:00-05:00", "2026-03-08T07:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T02:15:00+10:30", "2026-10-03T15:30:00Z"),
    ],
)
def test_a_time_that_the_clock_skips_comes_at_the_end_of_the_gap(zone: str, start: str, gap: str) -> None:
    daily = series(Recurrence(rrule="FREQ=DAILY", time_zone=zone, start=at(start)))
    assert names(daily, NOON, 2)[1] == gap


def test_a_time_that_comes_twice_counts_the_first_time() -> None:
    daily = series(replace(DAILY, start=at("2026-10-24T02:30:00+02:00")))
    assert names(daily, NOON, 3) == ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"rrule": "FREQ=WEEKLY;BYDAY=MO"}, ["2026-11-23", "2026-11-30", "2026-12-07"]),
        ({"rrule": "FREQ=MONTHLY;BYDAY=-1FR"}, ["2026-11-27", "2026-12-25", "2027-01-29"]),
        ({"rrule": "FREQ=DAILY;COUNT=2"}, ["2026-11-21", "2026-11-22"]),
        ({"rrule": "FREQ=DAILY;UNTIL=20261123"}, ["2026-11-21", "2026-11-22", "2026-11-23"]),
        ({"cron": "0 9,17 * * 1"}, ["2026-11-23", "2026-11-30", "2026-12-07"]),
        ({"every": "3d"}, ["2026-11-21", "2026-11-24", "2026-11-27"]),
        ({"every": "2w"}, ["2026-11-21", "2026-12-05", "2026-12-19"]),
        ({"every": "1mo"}, ["2026-11-21", "2026-12-21", "2027-01-21"]),
        ({"every": "1y"}, ["2026-11-21", "2027-11-21", "2028-11-21"]),
    ],
)
def test_whole_days_follow_the_calendar(rule: dict[str, str], expected: list[str]) -> None:
    found = series(Recurrence(**rule, time_zone="Asia/Kathmandu", start=date(2026, 11, 21)))
    assert names(found, NOON, 3) == expected


def test_the_last_day_of_a_month_stands_in_for_days_that_it_does_not_have() -> None:
    monthly = series(Recurrence(every="1mo", start=date(2027, 1, 31)))
    assert names(monthly, NOON, 4) == ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]
    yearly = series(Recurrence(every="1y", start=date(2028, 2, 29)))
    assert names(yearly, NOON, 3) == ["2028-02-29", "2029-02-28", "2030-02-28"]


@pytest.mark.parametrize("zone", ["America/Santiago", "Pacific/Apia", "Africa/Cairo"])
def test_each_day_comes_once_where_midnight_is_skipped(zone: str) -> None:
    daily = series(Recurrence(rrule="FREQ=DAILY", time_zone=zone, start=date(2011, 1, 1)))
    found = names(daily, NOON, 400)
    assert found[0] == "2011-01-01"
    assert len(set(found)) == 400
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("rule", "code", "field"),
    [
        ({"rrule": "FREQ=SOMETIMES"}, "INVALID_RRULE", "rrule"),
        ({"rrule": "FREQ=DAILY;COUNT=2;UNTIL=20271231"}, "INVALID_RRULE", "rrule"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "RECURRENCE_NEVER_OCCURS", "rrule"),
        ({"rrule": "FREQ=DAILY;UNTIL=20200101"}, "RECURRENCE_NEVER_OCCURS", "rrule"),
        ({"rrule": "FREQ=SECONDLY"}, "RECURRENCE_TOO_FREQUENT", "rrule"),
        ({"cron": "* * * * * *"}, "RECURRENCE_TOO_FREQUENT", "cron"),
        ({"cron": "0 0 30 2 *"}, "RECURRENCE_NEVER_OCCURS", "cron"),
        ({"cron": "often"}, "INVALID_CRON", "cron"),
        ({"every": "3 days"}, "INVALID_RRULE", "every"),
        ({"every": "1d", "time_zone": "Mars/Olympus"}, "UNKNOWN_TIME_ZONE", "time_zone"),
    ],
)
def test_a_rule_that_means_no_times_or_too_many_is_refused(rule: dict[str, str], code: str, field: str) -> None:
    with pytest.raises(RefusedRecurrence) as refused:
        first_of(Recurrence(**rule, start=at("2026-11-20T09:00:00Z")))
    assert (refused.value.code, refused.value.field) == (code, field)


def test_a_start_at_the_end_of_time_is_refused() -> None:
    with pytest.raises(RefusedRecurrence):
        first_of(Recurrence(every="1d", start=date(9999, 12, 31)))


def test_the_next_occurrence_comes_at_its_time_though_the_one_before_is_open() -> None:
    found = series(DAILY, "2026-11-20T08:00:00Z")
    assert decide(found, at("2026-11-20T12:00:00Z")) == Decision(due=False, wake_at=at("2026-11-21T08:00:00Z"))
    decision = decide(found, at("2026-11-21T08:00:01Z"))
    assert decision.due
    assert decision.occurrence
    assert decision.occurrence.name == "2026-11-21T08:00:00Z"


def test_the_next_occurrence_comes_at_once_when_the_newest_is_done() -> None:
    done = series(DAILY, "2026-11-20T08:00:00Z", closed_at=at("2026-11-20T07:00:00Z"))
    decision = decide(done, at("2026-11-20T07:00:01Z"))
    assert decision.due
    assert decision.occurrence
    assert decision.occurrence.name == "2026-11-21T08:00:00Z"


def test_an_occurrence_comes_earlier_that_matters_earlier_but_not_before_the_one_before_it() -> None:
    found = series(DAILY, "2026-11-20T08:00:00Z", lead=timedelta(hours=2))
    assert decide(found, at("2026-11-20T12:00:00Z")).wake_at == at("2026-11-21T06:00:00Z")
    long = replace(found, lead=timedelta(days=7))
    assert decide(long, at("2026-11-20T07:00:00Z")).wake_at == at("2026-11-20T08:00:00Z")


@pytest.mark.parametrize(
    ("catch_up", "now", "expected"),
    [
        (CatchUp.ALL, "2026-11-25T12:00:00Z", "2026-11-21T08:00:00Z"),
        (CatchUp.ONE, "2026-11-25T12:00:00Z", "2026-11-25T08:00:00Z"),
        (CatchUp.SKIP, "2026-11-25T12:00:00Z", None),
        (CatchUp.SKIP, "2026-11-25T08:04:00Z", "2026-11-25T08:00:00Z"),
        (CatchUp.ALL, "2027-11-25T12:00:00Z", None),
    ],
)
def test_what_becomes_of_times_that_passed(catch_up: CatchUp, now: str, expected: str | None) -> None:
    missed = series(replace(DAILY, catch_up=catch_up), "2026-11-20T08:00:00Z")
    decision = decide(missed, at(now))
    if expected is not None:
        assert decision.occurrence
        assert decision.occurrence.name == expected
    elif catch_up is CatchUp.SKIP:
        assert decision == Decision(due=False, wake_at=at("2026-11-26T08:00:00Z"))
    else:
        assert decision.occurrence
        assert timedelta(days=100) <= at(now) - decision.occurrence.at < timedelta(days=400)


def test_years_of_minutes_cost_no_more_than_hours() -> None:
    minutely = Recurrence(every="1m", start=at("2000-01-01T00:00:00Z"))
    decision = decide(series(minutely, "2000-01-01T00:00:00Z"), at("2026-11-21T12:00:30Z"))
    assert decision.occurrence
    assert decision.occurrence.name == "2026-11-21T12:00:00Z"


def test_a_day_has_not_passed_before_its_end() -> None:
    daily = Recurrence(rrule="FREQ=DAILY", time_zone="Europe/Warsaw", start=date(2026, 11, 1), catch_up=CatchUp.SKIP)
    decision = decide(series(daily, "2026-11-15"), at("2026-11-21T22:00:00Z"))
    assert decision.occurrence
    assert decision.occurrence.name == "2026-11-21"
    assert decide(series(daily, "2026-11-21"), at("2026-11-21T22:00:00Z")).wake_at == at("2026-11-21T23:00:00Z")


@pytest.mark.parametrize(
    ("rule", "closed_at", "expected"),
    [
        ({"every": "3d"}, "2026-11-24T13:00:00Z", "2026-11-27T08:00:00Z"),
        ({"every": "3d"}, "2026-11-24T06:00:00Z", "2026-11-27T08:00:00Z"),
        ({"every": "2h"}, "2026-11-24T13:10:00Z", "2026-11-24T15:10:00Z"),
        ({"rrule": "FREQ=WEEKLY;BYDAY=MO"}, "2026-11-24T13:00:00Z", "2026-11-30T08:00:00Z"),
        ({"cron": "0 9 * * *"}, "2026-11-24T06:00:00Z", "2026-11-24T08:00:00Z"),
        ({"rrule": "FREQ=DAILY;INTERVAL=2;COUNT=5"}, "2026-11-24T13:00:00Z", "2026-11-26T08:00:00Z"),
        ({"rrule": "FREQ=DAILY;COUNT=1"}, "2026-11-24T13:00:00Z", None),
        ({"rrule": "FREQ=DAILY;UNTIL=20261124"}, "2026-11-24T13:00:00Z", None),
    ],
)
def test_the_anchor_completion_counts_from_when_it_was_done(
    rule: dict[str, str], closed_at: str, expected: str | None
) -> None:
    recurrence = Recurrence(**rule, anchor=Anchor.COMPLETION, time_zone="Europe/Warsaw", start=DAILY.start)
    waiting = series(recurrence, "2026-11-20T08:00:00Z")
    assert decide(waiting, at("2026-12-20T08:00:00Z")) == Decision(due=False)
    decision = decide(replace(waiting, closed_at=at(closed_at)), at(closed_at))
    assert decision.due
    assert (decision.occurrence.name if decision.occurrence else None) == expected


def test_days_done_early_go_on_after_the_day_that_was_done() -> None:
    recurrence = Recurrence(every="3d", anchor=Anchor.COMPLETION, start=date(2026, 11, 20))
    early = series(recurrence, "2026-11-27", closed_at=at("2026-11-24T13:00:00Z"))
    assert names(early, NOON, 2) == ["2026-11-30", "2026-12-03"]


def test_skipped_occurrences_are_passed_over() -> None:
    found = series(DAILY, "2026-11-20T08:00:00Z", skipped=frozenset({"2026-11-21T08:00:00Z"}))
    assert names(found, "2026-11-20T09:00:00Z", 1) == ["2026-11-22T08:00:00Z"]


def test_a_rule_that_is_over_ends_the_series() -> None:
    counted = replace(DAILY, rrule="FREQ=DAILY;COUNT=1")
    assert decide(series(counted, "2026-11-20T08:00:00Z"), at(NOON)) == Decision(due=True)
