"""What an author may say, and the times that it means."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_scheduler.schedules.local import Note
from rota_scheduler.schedules.spec import LATEST, times_after
from rota_scheduler.schedules.timing import RefusedTiming, Timing, spec_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RULE: dict[str, Any] = dict.fromkeys(("at", "every_s", "phase_s", "cron", "rrule", "dtstart"))


def words(**given: Any) -> dict[str, Any]:
    """A specification in its JSON form."""
    union = [{**RULE, **rule} for rule in given.pop("union", [])]
    return {**RULE, "union": union, "exclude": [], **given}


def times(count: int, *, timezone: str = "UTC", after: datetime = NOW, **given: Any) -> list[str]:
    spec = spec_of(Timing(spec=words(**given), timezone=timezone), created_at=NOW)
    return [time.isoformat().removesuffix("+00:00") for time in islice(times_after(spec, after), count)]


def test_a_beat_counts_from_1970_whenever_the_schedule_was_made() -> None:
    assert times(2, every_s=3600, phase_s=90) == ["2026-01-01T12:01:30", "2026-01-01T13:01:30"]
    assert times(2, every_s=7) == ["2026-01-01T12:00:04", "2026-01-01T12:00:11"]


@given(every=st.integers(1, 31_536_000), after=st.datetimes(datetime(1900, 1, 2), datetime(9000, 1, 1)))  # noqa: DTZ001
def test_a_beat_never_drifts(every: int, after: datetime) -> None:
    found = datetime.fromisoformat(times(1, every_s=every, after=after.replace(tzinfo=UTC))[0]).replace(tzinfo=UTC)
    assert int(found.timestamp()) % every == 0
    assert 0 < (found - after.replace(tzinfo=UTC)).total_seconds() <= every


def test_a_recurrence_without_dtstart_starts_with_the_schedule() -> None:
    assert times(2, rrule="FREQ=WEEKLY", timezone="Europe/Warsaw") == ["2026-01-08T12:00:00", "2026-01-15T12:00:00"]


def test_a_union_gives_each_time_once_without_what_is_excluded() -> None:
    union = [
        {"cron": "0 9 * * *"},
        {"rrule": "FREQ=DAILY", "dtstart": "2026-01-01T09:00:00"},
        {"at": "2026-01-03T00:00:00Z"},
    ]
    exclude = ["2026-01-04", "2026-01-05T09:00:00", "2026-01-06T08:00:00Z"]
    assert times(4, union=union, exclude=exclude, timezone="Europe/Warsaw") == [
        "2026-01-02T08:00:00",
        "2026-01-03T00:00:00",
        "2026-01-03T08:00:00",
        "2026-01-07T08:00:00",
    ]


def test_an_excluded_year_of_every_second_is_passed_over_at_once() -> None:
    begun = time.process_time()
    days = [f"2026-01-{day:02}" for day in range(1, 32)]
    assert times(1, every_s=1, exclude=days, timezone="Pacific/Apia") == ["2026-01-31T11:00:00"]
    assert time.process_time() - begun < 1


def test_a_union_says_what_is_peculiar_about_its_times() -> None:
    timing = Timing(spec=words(union=[{"every_s": 86_400}, {"cron": "30 2 * * *"}]), timezone="Europe/Warsaw")
    spec = spec_of(timing, created_at=NOW)
    found = islice(times_after(spec, datetime(2026, 3, 28, 12, tzinfo=UTC)), 2)
    assert [(time.hour, spec.note(time)) for time in found] == [(0, None), (1, Note.GAP)]


def test_times_end_with_the_year_9899() -> None:
    assert times(1, every_s=1, after=LATEST) == []
    assert times(1, cron="0 0 1 1 *", after=LATEST) == []


@pytest.mark.parametrize(
    ("given_words", "code", "field"),
    [
        ({"cron": "61 * * * *"}, "INVALID_CRON", "spec.cron"),
        ({"cron": "0 0 30 2 *"}, "SCHEDULE_NEVER_FIRES", "spec.cron"),
        ({"rrule": "FREQ=DAILY;BYHOUR=25"}, "INVALID_RRULE", "spec.rrule"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "SCHEDULE_NEVER_FIRES", "spec.rrule"),
        ({"rrule": "FREQ=DAILY", "dtstart": "2026-01-01T09:00:00Z"}, "INVALID_SPEC", "spec.dtstart"),
        ({"rrule": "FREQ=DAILY", "dtstart": "today"}, "INVALID_SPEC", "spec.dtstart"),
        ({"cron": "0 0 * * *", "dtstart": "2026-01-01T09:00:00"}, "INVALID_SPEC", "spec.dtstart"),
        ({"every_s": 10, "phase_s": 10}, "INVALID_SPEC", "spec.phase_s"),
        ({"union": [{"every_s": 9}, {"cron": "x"}]}, "INVALID_CRON", "spec.union[1].cron"),
        ({"union": [{"every_s": 9}], "phase_s": 1}, "INVALID_SPEC", "spec.phase_s"),
        ({"every_s": 9, "exclude": ["2026-02-30"]}, "INVALID_SPEC", "spec.exclude[0]"),
        ({"every_s": 9, "exclude": ["2026-02-20", "noon"]}, "INVALID_SPEC", "spec.exclude[1]"),
        ({"every_s": 9, "exclude": ["0001-01-01T00:00:00+14:00"]}, "INVALID_SPEC", "spec.exclude[0]"),
        ({"at": "9999-12-31T23:59:59Z"}, "INVALID_SPEC", "spec.at"),
    ],
)
def test_refuses_words_that_mean_no_times_and_says_which(given_words: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(RefusedTiming) as caught:
        times(1, **given_words)
    assert (caught.value.code, caught.value.field) == (code, field)


ANY_TEXT = st.text(max_size=30) | st.datetimes().map(datetime.isoformat)


@given(text=ANY_TEXT, zone=st.sampled_from(["UTC", "Pacific/Apia"]))
def test_whatever_is_excluded_it_is_a_time_or_refused(text: str, zone: str) -> None:
    with contextlib.suppress(RefusedTiming):
        assert times(1, every_s=60, exclude=[text], timezone=zone)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"cron": "0 9 * * *"}, id="cron"),
        pytest.param({"every_s": 60, "phase_s": 5}, id="phase"),
        pytest.param({"union": [{"every_s": 60}]}, id="union"),
    ],
)
def test_only_an_interval_counts_from_completions(given: dict[str, Any]) -> None:
    with pytest.raises(RefusedTiming) as refused:
        spec_of(Timing(spec=words(anchor="completion", **given)), created_at=NOW)
    assert (refused.value.code, refused.value.field) == ("INVALID_SPEC", "spec.anchor")
