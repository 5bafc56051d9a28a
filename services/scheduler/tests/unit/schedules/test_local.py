"""Local times in zones that change their clocks, beside what the library `whenever` makes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rota_scheduler.schedules.cron import CronExpression
from rota_scheduler.schedules.local import DstFold, DstGap, Note, Zoned
from rota_scheduler.schedules.recurrence import RecurrenceRule
from rota_scheduler.schedules.spec import times_after
from rota_scheduler.schedules.zones import zone
from whenever import Instant, PlainDateTime

# A change of each zone, within a day.
CHANGES = {
    "America/New_York": ["2026-03-08", "2026-11-01"],
    "Australia/Lord_Howe": ["2026-04-05", "2026-10-04"],
    "America/Santiago": ["2026-04-05", "2026-09-06"],
    "Europe/Warsaw": ["2026-03-29", "2026-10-25"],
    "Pacific/Apia": ["2011-12-30", "2011-04-02"],
    "Asia/Kathmandu": ["2026-03-29", "1986-01-01"],
}
DAYS = [(name, day) for name, days in CHANGES.items() for day in days]


def instant_of(local: PlainDateTime, name: str, disambiguate: str) -> Instant:
    return local.assume_tz(name, disambiguation=disambiguate).to_instant()  # type: ignore[arg-type]


def gap_end(local: PlainDateTime, name: str) -> Instant:
    """The first instant at which the zone's offset is that after the gap, found by halving."""
    low, high = (seconds_of(instant_of(local, name, each)) for each in ("earlier", "later"))
    after = Instant.from_timestamp(high).to_tz(name).offset
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if Instant.from_timestamp(middle).to_tz(name).offset == after else (middle, high)
    return Instant.from_timestamp(high)


def expected_of(local: PlainDateTime, name: str, gap: DstGap, fold: DstFold) -> list[Instant]:
    earlier, later = instant_of(local, name, "earlier"), instant_of(local, name, "later")
    if earlier == later:
        return [earlier]
    if earlier.to_tz(name).to_plain() != local:
        return {DstGap.SKIP: [], DstGap.GAP_END: [gap_end(local, name)], DstGap.SHIFT: [later]}[gap]
    return {DstFold.FIRST: [earlier], DstFold.LAST: [later], DstFold.BOTH: [earlier, later]}[fold]


def seconds_of(instant: Instant) -> int:
    return int(instant.timestamp())


@settings(max_examples=150, deadline=None)
@given(
    place=st.sampled_from(DAYS),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=4),
    minutes=st.sets(st.sampled_from([0, 1, 15, 29, 30, 45, 59]), min_size=1, max_size=3),
    gap=st.sampled_from(DstGap),
    fold=st.sampled_from(DstFold),
    by_rule=st.booleans(),
)
def test_fixed_times_become_the_instants_that_an_independent_library_finds(
    place: tuple[str, str], hours: set[int], minutes: set[int], gap: DstGap, fold: DstFold, *, by_rule: bool
) -> None:
    name, day = place
    listed = [",".join(map(str, sorted(values))) for values in (minutes, hours)]
    first_day = datetime.fromisoformat(day) - timedelta(days=3)
    times = (
        RecurrenceRule(f"FREQ=DAILY;BYMINUTE={listed[0]};BYHOUR={listed[1]};BYSECOND=0", first_day, zone(name))
        if by_rule
        else CronExpression(f"{listed[0]} {listed[1]} * * *")
    )
    locals_ = [
        PlainDateTime(date.year, date.month, date.day, hour, minute)
        for date in (first_day + timedelta(days=number) for number in range(8))
        for hour in sorted(hours)
        for minute in sorted(minutes)
    ]
    start = instant_of(PlainDateTime(first_day.year, first_day.month, first_day.day), name, "earlier")
    expected = sorted({seconds_of(each) for local in locals_ for each in expected_of(local, name, gap, fold)})
    moment = datetime.fromtimestamp(seconds_of(start) - 1, UTC)
    found = list(islice(times_after(Zoned(times, zone(name), gap, fold), moment), len(expected)))
    assert [int(time.timestamp()) for time in found] == expected


@settings(max_examples=20, deadline=None)
@given(place=st.sampled_from(DAYS), gap=st.sampled_from(DstGap), fold=st.sampled_from(DstFold), by_rule=st.booleans())
def test_hourly_and_minute_schedules_fire_at_every_real_tick_whatever_the_policies(
    place: tuple[str, str], gap: DstGap, fold: DstFold, *, by_rule: bool
) -> None:
    name, day = place
    first = datetime.fromisoformat(day) - timedelta(hours=3)
    times = RecurrenceRule("FREQ=MINUTELY;BYSECOND=0", first, zone(name)) if by_rule else CronExpression("* * * * *")
    start = first.replace(tzinfo=zone(name)).astimezone(UTC)
    found = list(islice(times_after(Zoned(times, zone(name), gap, fold), start), 1500))
    assert all(after - before == timedelta(minutes=1) for before, after in pairwise(found))


def noted(start: str, count: int, *, gap: DstGap, fold: DstFold) -> list[tuple[str, Note | None]]:
    spec = Zoned(CronExpression("30 2 * * *"), zone("Europe/Warsaw"), gap, fold)
    times = islice(times_after(spec, datetime.fromisoformat(start)), count)
    return [(time.astimezone(zone("Europe/Warsaw")).isoformat(), spec.note(time)) for time in times]


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (DstGap.SKIP, ("2026-03-30T02:30:00+02:00", None)),
        (DstGap.GAP_END, ("2026-03-29T03:00:00+02:00", Note.GAP)),
        (DstGap.SHIFT, ("2026-03-29T03:30:00+02:00", Note.GAP)),
    ],
)
def test_a_skipped_time_says_so(gap: DstGap, expected: tuple[str, Note | None]) -> None:
    assert noted("2026-03-28T12:00+01:00", 1, gap=gap, fold=DstFold.FIRST) == [expected]


@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        (DstFold.FIRST, ["2026-10-25T02:30:00+02:00"]),
        (DstFold.LAST, ["2026-10-25T02:30:00+01:00"]),
        (DstFold.BOTH, ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]),
    ],
)
def test_a_time_that_comes_twice_says_so(fold: DstFold, expected: list[str]) -> None:
    found = noted("2026-10-24T12:00+02:00", len(expected) + 1, gap=DstGap.SKIP, fold=fold)
    assert found == [*((time, Note.FOLD) for time in expected), ("2026-10-26T02:30:00+01:00", None)]


def test_the_last_of_a_recurrence_within_a_fold_comes_as_often_as_it_should() -> None:
    where = zone("Europe/Warsaw")
    rule = RecurrenceRule("FREQ=DAILY;UNTIL=20261025T023000", datetime(2026, 10, 24, 2, 30), where)  # noqa: DTZ001
    for fold, count in ((DstFold.FIRST, 1), (DstFold.LAST, 1), (DstFold.BOTH, 2)):
        start = datetime(2026, 10, 24, 12, tzinfo=UTC)
        assert len(list(times_after(Zoned(rule, where, DstGap.SKIP, fold), start))) == count
