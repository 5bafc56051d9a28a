"""The checker finds what is lost and doubled."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from checker import Row, check

TIMES = [datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=seconds) for seconds in (0, 10, 20)]
RAN = [
    Row(
        schedule_id="plants",
        nominal_time=time,
        run_id=f"run-{number}",
        status="succeeded",
        attempts=1,
        started_at=time,
    )
    for number, time in enumerate(TIMES)
]
CALLS = [str(row.run_id) for row in RAN]


def test_a_run_for_each_time_and_a_call_for_each_run_is_clean() -> None:
    report = check({"plants": TIMES}, RAN, CALLS)
    assert report.is_clean
    assert (report.times, report.ran, report.late) == (3, 3, [])


def test_a_time_without_an_account_is_lost() -> None:
    assert len(check({"plants": TIMES}, RAN[1:], CALLS[1:]).lost) == 1


def test_a_run_that_nobody_saw_is_lost() -> None:
    assert len(check({"plants": TIMES}, RAN, CALLS[1:]).lost) == 1


def test_a_stretch_that_was_skipped_accounts_for_each_of_its_times() -> None:
    skipped = Row(schedule_id="plants", nominal_time=TIMES[0], through=TIMES[2], reason="catch_up")
    assert check({"plants": TIMES}, [skipped], []).is_clean


def test_two_accounts_of_a_time_are_doubled() -> None:
    skipped = Row(schedule_id="plants", nominal_time=TIMES[0], reason="overlap")
    assert len(check({"plants": TIMES}, [skipped, *RAN], CALLS).doubled) == 1


def test_a_call_that_no_run_made_is_doubled() -> None:
    assert len(check({"plants": TIMES}, RAN, [*CALLS, "run-9"]).doubled) == 1


def test_a_second_call_is_doubled_unless_there_was_a_second_attempt() -> None:
    twice = [*CALLS, CALLS[0]]
    assert not check({"plants": TIMES}, RAN, twice).is_clean
    report = check({"plants": TIMES}, [replace(RAN[0], attempts=2), *RAN[1:]], twice)
    assert (report.is_clean, report.repeated) == (True, 1)


def test_a_run_that_started_late_is_told() -> None:
    late = replace(RAN[0], started_at=TIMES[0] + timedelta(seconds=30))
    assert check({"plants": TIMES}, [late, *RAN[1:]], CALLS).late == [timedelta(seconds=30)]
