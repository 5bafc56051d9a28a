"""The checker finds what is lost, doubled, late without a reason, and how soon all was well again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from checker import LEFT_BEHIND, Row, check, recoveries
from faults import LENGTH_S, QUIET_S, Fault, Window, plan
from replica import POINTS
from witness import Delivery

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIMES = [NOON + timedelta(seconds=seconds) for seconds in (0, 10, 20)]
RAN = [
    Row(
        schedule_id="plants",
        nominal_time=time,
        run_id=f"run-{number}",
        kind="http",
        status="succeeded",
        attempts=1,
        started_at=time,
    )
    for number, time in enumerate(TIMES)
]
CALLS = [Delivery(str(row.run_id), row.nominal_time) for row in RAN]
EVENTS = [replace(row, kind="event") for row in RAN]
PUBLISHED = [str(row.run_id) for row in RAN]


def window(begin_s: float, end_s: float) -> Window:
    """Something that happened so many seconds after noon."""
    return Window(Fault("freeze", begin_s), NOON + timedelta(seconds=begin_s), NOON + timedelta(seconds=end_s))


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
    assert len(check({"plants": TIMES}, RAN, [*CALLS, Delivery("run-9", NOON)]).doubled) == 1


def test_a_second_call_is_doubled_unless_there_was_a_second_attempt() -> None:
    twice = [*CALLS, CALLS[0]]
    assert not check({"plants": TIMES}, RAN, twice).is_clean
    report = check({"plants": TIMES}, [replace(RAN[0], attempts=2), *RAN[1:]], twice)
    assert (report.is_clean, report.repeated) == (True, 1)


def test_what_is_done_once_is_doubled_by_a_second_even_if_there_was_a_second_attempt() -> None:
    assert check({"plants": TIMES}, EVENTS, [], published=PUBLISHED).once == 3
    assert len(check({"plants": TIMES}, EVENTS, [], published=PUBLISHED[1:]).lost) == 1
    again = [replace(EVENTS[0], attempts=2), *EVENTS[1:]]
    assert len(check({"plants": TIMES}, again, [], published=[*PUBLISHED, PUBLISHED[0]]).doubled) == 1


def test_a_run_that_started_late_needs_something_that_explains_it() -> None:
    late = [replace(RAN[0], started_at=TIMES[0] + timedelta(seconds=30)), *RAN[1:]]
    report = check({"plants": TIMES}, late, CALLS)
    assert (report.late, len(report.unexplained)) == ([timedelta(seconds=30)], 1)
    assert check({"plants": TIMES}, late, CALLS, windows=[window(20, 25)]).is_clean
    assert not check({"plants": TIMES}, late, CALLS, windows=[window(31, 35)]).is_clean
    assert check({"plants": TIMES}, late, CALLS, windows=[window(-30, -LEFT_BEHIND.total_seconds())]).is_clean


def test_a_call_before_its_time_needs_something_that_explains_it() -> None:
    early = [replace(CALLS[0], at=NOON - timedelta(seconds=2)), *CALLS[1:]]
    assert len(check({"plants": TIMES}, RAN, early).unexplained) == 1
    assert check({"plants": TIMES}, RAN, early, windows=[window(-3, 3)]).is_clean


def test_recovery_is_when_a_second_after_the_end_has_as_many_as_those_before() -> None:
    # Ten a second, none for four seconds, five a second for two, and then ten again.
    tenths = [*range(100), *range(140, 160, 2), *range(160, 260)]
    delivered = [Delivery(f"run-{tenth}", NOON + timedelta(seconds=tenth / 10)) for tenth in tenths]
    (found,) = recoveries(delivered, [window(10, 14)])
    assert (found.before, found.lowest) == (10, 0)
    assert found.after_s is not None
    assert 2.5 < found.after_s <= 3.1


def test_after_a_rush_it_is_enough_to_be_as_quick_as_usual() -> None:
    # Ten a second, a hundred for two seconds, none for two, and then ten again.
    times = [*(n / 10 for n in range(200)), *(20 + n / 100 for n in range(200)), *(24 + n / 10 for n in range(200))]
    delivered = [Delivery(f"run-{number}", NOON + timedelta(seconds=at)) for number, at in enumerate(times)]
    (found,) = recoveries(delivered, [window(22, 24)])
    assert found.before == 10
    assert found.after_s is not None
    assert found.after_s <= 1.1


def test_what_comes_again_is_no_recovery() -> None:
    delivered = [Delivery(f"run-{tenth % 100}", NOON + timedelta(seconds=tenth / 10)) for tenth in range(300)]
    (found,) = recoveries(delivered, [window(10, 14)])
    assert found.after_s is None


def test_a_plan_follows_from_its_seed_and_leaves_time_between() -> None:
    faults = plan(7)
    assert faults == plan(7)
    assert faults != plan(8)
    assert {each.kind for each in faults} == set(LENGTH_S)
    assert {each.point for each in faults} == {"", *POINTS}
    for each, following in pairwise(faults):
        assert following.at_s >= each.at_s + LENGTH_S[each.kind] + QUIET_S
