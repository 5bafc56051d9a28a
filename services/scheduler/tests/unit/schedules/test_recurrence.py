"""Recurrence rules: the same times as walking from DTSTART, found at once."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st
from rota_scheduler.schedules.recurrence import InvalidRecurrence, NeverRecurs, RecurrenceRule
from rota_scheduler.schedules.zones import zone

UTC_ZONE = zone("UTC")
START = datetime(2024, 1, 31, 9, 30)  # noqa: DTZ001 (a local time)


def walk(rule: RecurrenceRule, after: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    while len(found) < count and (following := rule.next_local(after)) is not None:
        found.append(following)
        after = following
    return found


PARTS = {
    "INTERVAL": st.integers(1, 7).map(str),
    "BYMONTH": st.sampled_from(["1", "2,6", "12"]),
    "BYMONTHDAY": st.sampled_from(["1", "-1", "13,31", "29"]),
    "BYDAY": st.sampled_from(["MO", "MO,WE,FR", "SA,SU"]),
    "BYHOUR": st.sampled_from(["0", "9,17"]),
    "BYMINUTE": st.sampled_from(["0", "15,45"]),
    "BYSECOND": st.sampled_from(["0", "7", "20,40"]),
    "WKST": st.sampled_from(["MO", "SU"]),
}


@settings(max_examples=200, deadline=None)
@given(
    frequency=st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]),
    parts=st.fixed_dictionaries({}, optional=PARTS),
    end=st.sampled_from(["", ";COUNT=5", ";UNTIL=20240701", ";UNTIL=20240301T093000Z"]),
    ahead_h=st.integers(-48, 2000),
)
def test_gives_the_times_that_a_walk_from_dtstart_gives(
    frequency: str, parts: dict[str, str], end: str, ahead_h: int
) -> None:
    words = ";".join([f"FREQ={frequency}", *(f"{name}={value}" for name, value in parts.items())]) + end
    after = START + timedelta(hours=ahead_h)
    try:
        rule = RecurrenceRule(words, START, UTC_ZONE)
    except (NeverRecurs, InvalidRecurrence):
        # INTERVAL and the lists contradict each other. Where the calendar is the same, the end of the walk is near.
        with contextlib.suppress(ValueError):
            late = rrulestr(words.replace("2024", "9624").removesuffix("Z"), dtstart=START.replace(year=9624))
            assert next(iter(late), None) is None
        return
    plain = rrulestr(words.replace("20240701", "20240701T235959").removesuffix("Z"), dtstart=START)
    assert walk(rule, after, 5) == list(islice((each for each in plain if each > after), 5))


OF_SECONDS = {
    # What shares no factor with a week comes to every second of it soon; 45 to the same ones each day.
    "INTERVAL": st.sampled_from(["11", "13", "45"]),
    **{name: PARTS[name] for name in ("BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND")},
}


# The walk from DTSTART takes each second: near it, and for few rules.
@settings(max_examples=25, deadline=None)
@given(parts=st.fixed_dictionaries({}, optional=OF_SECONDS), ahead_h=st.integers(-48, 30))
def test_gives_the_times_of_seconds_that_a_walk_from_dtstart_gives(parts: dict[str, str], ahead_h: int) -> None:
    words = ";".join(["FREQ=SECONDLY", *(f"{name}={value}" for name, value in parts.items())])
    after = START + timedelta(hours=ahead_h)
    try:
        rule = RecurrenceRule(words, START, UTC_ZONE)
    except InvalidRecurrence:
        with pytest.raises(ValueError, match="empty"):
            rrulestr(words, dtstart=START)
        return
    assert walk(rule, after, 3) == list(islice((each for each in rrulestr(words, dtstart=START) if each > after), 3))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("FREQ=MONTHLY;BYDAY=-1FR", ["2026-01-30T09:30:00", "2026-02-27T09:30:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ["2026-01-30T09:30:00", "2026-02-27T09:30:00"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", ["2028-02-29T09:30:00", "2032-02-29T09:30:00"]),
        ("RRULE:FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO", ["2027-01-04T09:30:00", "2028-01-03T09:30:00"]),
        ("freq=monthly", ["2026-01-31T09:30:00", "2026-03-31T09:30:00"]),
    ],
)
def test_gives_the_times_that_the_rule_says(words: str, expected: list[str]) -> None:
    after = datetime(2026, 1, 1)  # noqa: DTZ001 (a local time)
    assert [each.isoformat() for each in walk(RecurrenceRule(words, START, UTC_ZONE), after, 2)] == expected


@pytest.mark.parametrize(
    "words",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;INTERVAL=7;BYDAY=SU",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=DAILY;UNTIL=20200101",
    ],
)
def test_a_rule_that_matches_no_date_is_refused_within_a_second(words: str) -> None:
    begun = time.process_time()
    with pytest.raises(NeverRecurs):
        RecurrenceRule(words, START, UTC_ZONE)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    "words",
    [
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU;BYHOUR=3;BYMINUTE=3;BYSECOND=3",
        "FREQ=SECONDLY;INTERVAL=7;BYMONTH=12;BYMONTHDAY=25;BYHOUR=3;BYMINUTE=3;BYSECOND=3",
        "FREQ=SECONDLY;INTERVAL=99991;BYHOUR=3;BYMINUTE=3;BYSECOND=3",
        "FREQ=MINUTELY;INTERVAL=99991;BYMONTH=12;BYMONTHDAY=25;BYHOUR=3;BYMINUTE=3",
        "FREQ=SECONDLY;BYMONTH=12;BYMONTHDAY=25;BYHOUR=3;BYMINUTE=3;COUNT=10000",
    ],
)
def test_a_rule_of_short_units_that_hardly_ever_matches_is_answered_within_a_second(words: str) -> None:
    begun = time.process_time()
    with contextlib.suppress(NeverRecurs):
        RecurrenceRule(words, START, UTC_ZONE).next_local(START)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("frequency", ["SECONDLY", "MINUTELY", "DAILY", "WEEKLY"])
def test_a_rule_that_began_long_ago_is_found_as_fast_as_a_new_one(frequency: str) -> None:
    rule = RecurrenceRule(f"FREQ={frequency};INTERVAL=3", datetime(1901, 1, 1), UTC_ZONE)  # noqa: DTZ001
    begun = time.process_time()
    for number in range(100):
        assert rule.next_local(datetime(2026, 1, 1) + timedelta(days=number)) is not None  # noqa: DTZ001
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    "words",
    [
        "",
        "FREQ=SOMETIMES",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=10001",
        "FREQ=DAILY;COUNT=2;UNTIL=20270101",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=99999999999999999999",
        "FREQ=DAILY;FREQ=DAILY",
        "FREQ=DAILY;BYHOUR=24",
        "FREQ=DAILY;BYEASTER=0",
        "FREQ=DAILY;BYDAY=XX",
        "FREQ=DAILY;UNTIL=tomorrow",
        "FREQ=DAILY;UNTIL=20261301",
        "FREQ=DAILY;WKST=1",
        "FREQ=HOURLY;BYSETPOS=1",
        "FREQ=DAILY\nDTSTART:20260101",
    ],
)
def test_refuses_what_is_no_rule(words: str) -> None:
    with pytest.raises(InvalidRecurrence):
        RecurrenceRule(words, START, UTC_ZONE)


NAMES = ["FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYHOUR", "BYSETPOS", "BYWEEKNO", "BYYEARDAY"]
VALUES: Any = st.sampled_from(["DAILY", "MONTHLY", "YEARLY", "WEEKLY"]) | st.text("0123456789-+,MOTUFRZ", max_size=8)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=5))
def test_whatever_the_words_they_are_a_rule_or_refused(parts: list[tuple[str, str]]) -> None:
    words = ";".join(["FREQ=DAILY", *(f"{name}={value}" for name, value in parts if name != "FREQ")])
    with contextlib.suppress(InvalidRecurrence, NeverRecurs):
        RecurrenceRule(words, START, UTC_ZONE).next_local(START)
