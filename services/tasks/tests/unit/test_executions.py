"""What a task notes of the runs of its action, in whatever order it is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import uuid4

import pytest
from rota_tasks.executions.domain import note_run
from rota_tasks.executions.execution import Execution, RunStatus, TaskRun
from rota_tasks.tasks.domain import Task

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ACTION = uuid4()
QUEUED = TaskRun(id=uuid4(), status=RunStatus.PENDING)
STARTED = replace(QUEUED, status=RunStatus.RUNNING, started_at=NOW)
FAILED = replace(STARTED, status=RunStatus.FAILED, finished_at=NOW + timedelta(seconds=5), error="No.")
AGAIN = replace(STARTED, id=uuid4(), started_at=NOW + timedelta(seconds=9))


def told(*runs: TaskRun) -> tuple[TaskRun | None, int]:
    """What a task knows after it was told of runs, and how many of them were news."""
    execution = Execution(action={"event": {"type": "plants.watered"}}, id=ACTION, given_by=uuid4())
    task = Task(
        id=uuid4(),
        workspace_id=uuid4(),
        title="Water the plants",
        created_by=uuid4(),
        created_at=NOW,
        updated_at=NOW,
        execution=execution,
    )
    news = 0
    for run in runs:
        for event in note_run(task, ACTION, run, now=NOW):
            task, news = event.task, news + 1
    return task.execution.run if task.execution else None, news


def test_a_run_goes_from_pending_to_running_to_its_end() -> None:
    assert told(QUEUED, STARTED, FAILED) == (FAILED, 3)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_whatever_comes_late_or_twice_the_end_stays(order: tuple[int, ...]) -> None:
    runs = [(QUEUED, STARTED, FAILED)[place] for place in order]
    assert told(*runs, *runs)[0] == FAILED
    assert told(FAILED, *runs) == (FAILED, 1)


def test_that_it_began_is_noted_before_that_it_was_queued_and_only_once() -> None:
    assert told(STARTED, QUEUED, STARTED) == (STARTED, 1)


def test_that_another_run_began_counts_when_the_one_before_had_ended_by_then() -> None:
    assert told(FAILED, AGAIN) == (AGAIN, 2)
    assert told(STARTED, AGAIN) == (STARTED, 1)
    assert told(replace(AGAIN, status=RunStatus.SUCCEEDED, finished_at=NOW + timedelta(days=1)), STARTED)[1] == 1


def test_of_another_action_nothing_is_noted() -> None:
    execution = Execution(action={}, id=uuid4(), given_by=uuid4())
    task = Task(
        id=uuid4(),
        workspace_id=uuid4(),
        title="t",
        created_by=uuid4(),
        created_at=NOW,
        updated_at=NOW,
        execution=execution,
    )
    assert note_run(task, ACTION, STARTED, now=NOW) == []
