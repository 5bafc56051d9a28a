"""What may happen to a task, and what it is called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_chassis.events.types import event_types
from rota_tasks.tasks import domain
from rota_tasks.tasks.domain import (
    MAX_ASSIGNEES,
    Priority,
    Status,
    Task,
    TaskAssigned,
    TaskCompleted,
    TaskReopened,
    TaskUpdated,
)
from rota_tasks.tasks.messages import event_message, task_message, task_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ADA, GRACE = uuid4(), uuid4()


def a_task(**fields: Any) -> Task:
    return Task(
        **{
            "id": uuid4(),
            "workspace_id": uuid4(),
            "title": "Water the plants",
            "created_by": ADA,
            "created_at": NOW,
            "updated_at": NOW,
            **fields,
        }
    )


def done(**fields: Any) -> Task:
    return a_task(status=Status.DONE, completed_at=NOW, completed_by=ADA, **fields)


def test_completing_says_who_and_when() -> None:
    (event,) = domain.complete(a_task(), by=GRACE, now=LATER)
    assert isinstance(event, TaskCompleted)
    assert (event.task.status, event.task.completed_by, event.task.completed_at) == (Status.DONE, GRACE, LATER)
    assert event.task.version == 2


def test_completing_a_done_task_changes_nothing() -> None:
    assert domain.complete(done(), by=GRACE, now=LATER) == []


@pytest.mark.parametrize("task", [done(), a_task(status=Status.CANCELLED)])
def test_reopening_returns_to_todo_and_forgets_the_completion(task: Task) -> None:
    (event,) = domain.reopen(task, now=LATER)
    assert isinstance(event, TaskReopened)
    assert (event.task.status, event.task.completed_at, event.task.completed_by) == (Status.TODO, None, None)


@pytest.mark.parametrize("status", [Status.TODO, Status.IN_PROGRESS])
def test_reopening_an_open_task_changes_nothing(status: Status) -> None:
    assert domain.reopen(a_task(status=status), now=LATER) == []


def test_an_edit_that_says_what_is_already_so_changes_nothing() -> None:
    task = a_task(priority=Priority.HIGH)
    assert domain.edit(task, {"title": task.title, "priority": Priority.HIGH}, by=ADA, now=LATER) == []


def test_an_edit_of_several_kinds_is_one_event_a_kind_each_a_version_on() -> None:
    changes = {"title": "Feed the cat", "assignee_ids": (GRACE,), "status": Status.DONE}
    events = domain.edit(a_task(), changes, by=ADA, now=LATER)
    assert [type(event) for event in events] == [TaskUpdated, TaskAssigned, TaskCompleted]
    assert [event.task.version for event in events] == [2, 3, 4]
    assert (events[-1].task.title, events[-1].task.assignee_ids) == ("Feed the cat", (GRACE,))


def test_an_edit_from_done_to_in_progress_is_a_reopening() -> None:
    (event,) = domain.edit(done(), {"status": Status.IN_PROGRESS}, by=ADA, now=LATER)
    assert isinstance(event, TaskReopened)
    assert (event.task.status, event.task.completed_at) == (Status.IN_PROGRESS, None)


def test_a_done_task_that_is_cancelled_is_no_longer_complete() -> None:
    (event,) = domain.edit(done(), {"status": Status.CANCELLED}, by=ADA, now=LATER)
    assert (event.task.status, event.task.completed_at, event.task.completed_by) == (Status.CANCELLED, None, None)


def test_an_update_tells_old_and_new() -> None:
    (event,) = domain.edit(a_task(), {"title": "Feed the cat"}, by=ADA, now=LATER)
    assert isinstance(event, TaskUpdated)
    assert [(each.field, each.old, each.new) for each in event.changes] == [
        ("title", "Water the plants", "Feed the cat")
    ]


def test_reassigning_tells_who_came_and_who_went() -> None:
    newcomer = uuid4()
    (event,) = domain.edit(a_task(assignee_ids=(ADA, GRACE)), {"assignee_ids": (GRACE, newcomer)}, by=ADA, now=LATER)
    assert isinstance(event, TaskAssigned)
    assert (event.added, event.removed) == ((newcomer,), (ADA,))


def test_a_task_has_only_so_many_assignees() -> None:
    task = a_task(assignee_ids=tuple(uuid4() for _ in range(MAX_ASSIGNEES)))
    with pytest.raises(OverflowError):
        domain.assign(task, uuid4(), now=LATER)


_TIMES = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=10)
_EDITABLE = (
    *("title", "description", "status", "priority", "due_at", "remind_at", "project_id", "assignee_ids", "label_ids"),
    *("start_at", "deadline_at", "estimate_s", "progress", "category", "parent_id"),
)
_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "title": _TEXT.filter(bool),
        "description": _TEXT,
        "status": st.sampled_from(Status),
        "priority": st.sampled_from(Priority),
        "due_at": _TIMES,
        "remind_at": _TIMES,
        "project_id": st.none() | st.uuids(),
        "assignee_ids": st.lists(st.uuids(), max_size=3, unique=True).map(tuple),
        "label_ids": st.lists(st.uuids(), max_size=3, unique=True).map(tuple),
        "start_at": _TIMES,
        "deadline_at": _TIMES,
        "estimate_s": st.none() | st.integers(0, 315_360_000),
        "progress": st.integers(0, 100),
        "category": _TEXT,
        "parent_id": st.none() | st.uuids(),
    },
)


@given(st.lists(_CHANGES, max_size=6))
def test_random_edits_change_exactly_the_named_fields_and_keep_the_invariants(edits: list[dict[str, Any]]) -> None:
    task = a_task()
    for changes in edits:
        events = domain.edit(task, changes, by=GRACE, now=LATER)
        after = events[-1].task if events else task
        for field in _EDITABLE:
            assert getattr(after, field) == changes.get(field, getattr(task, field))
        assert [event.task.version for event in events] == list(range(task.version + 1, task.version + 1 + len(events)))
        assert (after.status is Status.DONE) == (after.completed_at is not None) == (after.completed_by is not None)
        task = after


@given(_CHANGES)
def test_a_task_survives_the_contract_and_the_log(changes: dict[str, Any]) -> None:
    task = a_task(project_id=uuid4())
    for event in domain.edit(task, changes, by=GRACE, now=LATER):
        logged = event_message(event)
        kind = event_types()[logged.data.DESCRIPTOR.GetOptions().ListFields()[0][1].type]
        assert task_of(kind.decode(kind.encode(logged.data)).task) == event.task
    assert task_of(task_message(task)) == task
    assert isinstance(task.id, UUID)
