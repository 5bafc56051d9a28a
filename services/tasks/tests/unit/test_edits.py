"""Any sequence of changes to a task changes the fields it names, and no others."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rota_tasks.tasks import domain
from rota_tasks.tasks.domain import DAY_OR_INSTANT, Priority, Status, Task
from rota_tasks.tasks.messages import event_message, task_message, task_of

ADA = UUID(int=1)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OF_ITSELF = {
    *("version", "updated_at", "completed_at", "completed_by", "status_before", "state_id_before", "standing"),
}

_INSTANTS = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_DAYS = st.none() | st.dates(date(1, 1, 1), date(9999, 12, 31))
_IDS = st.lists(st.uuids(), max_size=3, unique=True).map(tuple)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": st.text(min_size=1, max_size=5),
    "description": st.text(max_size=5),
    "status": st.sampled_from(Status),
    "priority": st.sampled_from(Priority),
    "due_at": _INSTANTS,
    "due_on": _DAYS,
    "start_at": _INSTANTS,
    "start_on": _DAYS,
    "deadline_at": _INSTANTS,
    "remind_at": _INSTANTS,
    "time_zone": st.sampled_from(["", "Europe/Warsaw"]),
    "assignee_ids": _IDS,
    "label_ids": _IDS,
    "estimate_s": st.none() | st.integers(0, 1000),
    "progress": st.integers(0, 100),
    "category": st.text(max_size=5),
    "project_id": st.none() | st.uuids(),
    "parent_id": st.none() | st.uuids(),
}


def _consistent(changes: dict[str, Any]) -> bool:
    return all(changes.get(day) is None or changes.get(instant) is None for day, instant in DAY_OR_INSTANT)


# The first draw builds all the strategies, which takes long on a busy machine.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.fixed_dictionaries({}, optional=_VALUES).filter(_consistent), max_size=6))
def test_a_sequence_of_edits_changes_exactly_the_named_fields(sequence: list[dict[str, Any]]) -> None:
    task = Task(id=UUID(int=2), workspace_id=UUID(int=3), title="t", created_by=ADA, created_at=NOW, updated_at=NOW)
    expected = {each.name: getattr(task, each.name) for each in fields(task) if each.name not in OF_ITSELF}
    for changes in sequence:
        events = domain.edit(task, changes, by=ADA, now=NOW)
        expected |= changes
        for pair in DAY_OR_INSTANT:
            for name, other in (pair, pair[::-1]):
                if changes.get(name) is not None:
                    expected[other] = None
        assert [event.task.version for event in events] == list(range(task.version + 1, task.version + 1 + len(events)))
        task = events[-1].task if events else task
        assert {name: getattr(task, name) for name in expected} == expected
        assert (task.status is Status.DONE) == (task.completed_at is not None)
        for event in events:
            event_message(event)
    assert task_of(task_message(task)) == task
