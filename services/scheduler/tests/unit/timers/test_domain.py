"""Which timers a task has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

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


def armed(task: TimedTask) -> dict[Kind, datetime | None]:
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
