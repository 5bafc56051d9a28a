"""Which timers a task has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from rota_scheduler.timers.domain import Kind, TimedTask, timers_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TASK = TimedTask(
    workspace_id=uuid4(),
    id=uuid4(),
    version=2,
    is_open=True,
    title="Water the plants",
    recipient_ids=(uuid4(),),
    created_at=NOW,
    remind_at=NOW + HOUR,
    due_at=NOW + 2 * HOUR,
)


def armed(task: TimedTask) -> dict[str, datetime | None]:
    return {timer.kind: timer.fire_at for timer in timers_of(task)}


def test_an_open_task_has_its_two_times() -> None:
    assert armed(TASK) == {Kind.REMINDER: NOW + HOUR, Kind.DUE: NOW + 2 * HOUR}


def test_a_closed_task_has_no_armed_timer() -> None:
    assert armed(replace(TASK, is_open=False)) == {Kind.REMINDER: None, Kind.DUE: None}


def test_a_reminder_may_be_in_the_past_and_a_due_time_before_the_creation_stays_silent() -> None:
    task = replace(TASK, remind_at=NOW - HOUR, due_at=NOW - HOUR)
    assert armed(task) == {Kind.REMINDER: NOW - HOUR, Kind.DUE: None}


def test_a_first_version_without_times_leaves_nothing_to_remember() -> None:
    assert timers_of(replace(TASK, version=1, remind_at=None, due_at=None)) == []


def test_a_later_version_without_times_is_remembered() -> None:
    assert armed(replace(TASK, remind_at=None, due_at=None)) == {Kind.REMINDER: None, Kind.DUE: None}


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("", "2026-03-30T00:00:00+00:00"),
        ("Europe/Warsaw", "2026-03-29T22:00:00+00:00"),
        ("America/New_York", "2026-03-30T04:00:00+00:00"),
        ("Australia/Lord_Howe", "2026-03-29T13:00:00+00:00"),
    ],
)
def test_a_day_is_over_at_midnight_in_the_tasks_zone(zone: str, expected: str) -> None:
    found = timed(due_on=date(2026, 3, 29), time_zone=zone)
    assert armed(found)[Kind.DUE] == datetime.fromisoformat(expected)


def test_reminders_before_it_is_due_move_with_the_due_date_and_past_ones_stay_silent() -> None:
    found = timed(due_at=NOW + timedelta(hours=2), remind_before_s=(3600, 86_400))
    assert armed(found)["before:3600"] == NOW + timedelta(hours=1)
    assert armed(found).get("before:86400") is None
    moved = timed(due_on=(NOW + timedelta(days=3)).date(), remind_before_s=(3600,))
    assert armed(moved)["before:3600"] == moved.due - timedelta(hours=1)  # type: ignore[operator]


def test_a_day_at_the_end_of_time_and_no_day_at_all_have_no_timers() -> None:
    for day in (date(9999, 12, 31), None):
        assert set(armed(timed(due_on=day, remind_before_s=(60,))).values()) <= {None}


def timed(**fields: Any) -> TimedTask:
    return replace(TASK, **{"remind_at": None, "due_at": None} | fields)
