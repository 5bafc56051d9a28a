"""The rules of boards: order, targets and guards, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rota_chassis.ids import uuid7
from rota_tasks.boards.domain import (
    Guard,
    State,
    Transition,
    between,
    initial,
    place_of_column,
    rank,
    refusals,
    spread,
    target,
)
from rota_tasks.tasks.domain import Standing, Status, Task

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKSPACE, USER = uuid7(), uuid7()


def a_state(name: str, group: Status, position: str = "a0", **fields: Any) -> State:
    return State(
        id=uuid7(),
        workspace_id=WORKSPACE,
        project_id=WORKSPACE,
        name=name,
        position=position,
        created_by=USER,
        created_at=NOW,
        updated_at=NOW,
        group=group,
        **fields,
    )


def a_task(**fields: Any) -> Task:
    times = {"created_at": NOW, "updated_at": NOW}
    return Task(id=uuid7(), workspace_id=WORKSPACE, title="t", created_by=USER, **times, **fields)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.integers(0, 1_000), max_size=60))
def test_there_is_always_a_position_between_two_and_none_is_given_twice(places: list[int]) -> None:
    ranks = [rank(UUID(int=number << 80 | number), None) for number in (1, 2, 3)]
    for place in places:
        at = place % (len(ranks) + 1)
        lower, upper = (ranks[at - 1] if at else None), (ranks[at] if at < len(ranks) else None)
        ranks.insert(at, between(lower, upper))
    assert ranks == sorted(set(ranks))


def test_a_younger_task_stands_behind_an_older_until_it_is_moved() -> None:
    first, second = uuid7(), uuid7()
    assert rank(first, None) < rank(second, None)
    assert rank(second, between(None, rank(first, None))) < rank(first, None)


def test_a_status_means_the_current_state_or_the_first_of_its_group() -> None:
    todo, doing, review = (
        a_state("todo", Status.TODO, "a0"),
        a_state("doing", Status.IN_PROGRESS, "a1"),
        a_state("review", Status.IN_PROGRESS, "a2"),
    )
    states = [todo, doing, review]
    assert initial(states) == todo
    assert initial([doing, review]) == doing
    task = a_task(state_id=review.id, status=Status.IN_PROGRESS)
    assert target(states, task.state_id, status=Status.IN_PROGRESS, state_id=None) == review
    assert target(states, None, status=Status.IN_PROGRESS, state_id=None) == doing
    assert target(states, task.state_id, status=None, state_id=uuid7()) is None
    assert target(states, task.state_id, status=Status.TODO, state_id=uuid7()) == todo
    assert target(states, task.state_id, status=Status.DONE, state_id=None) is None


@pytest.mark.parametrize(
    ("way", "task", "role", "guards"),
    [
        ({}, {}, "member", []),
        ({"guards": (Guard.ALL_SUBTASKS_DONE,)}, {"standing": Standing(1, 2)}, "owner", ["all_subtasks_done"]),
        ({"guards": (Guard.NOT_BLOCKED,)}, {"standing": Standing(0, 0, (USER,))}, "owner", ["not_blocked"]),
        (
            {"guards": (Guard.CHECKLIST_DONE,)},
            {"standing": Standing(open_items=1, items=2)},
            "owner",
            ["checklist_done"],
        ),
        ({"guards": (Guard.CHECKLIST_DONE,)}, {"standing": Standing(items=2)}, "owner", []),
        ({"role": "admin"}, {}, "member", ["role"]),
        ({"role": "admin"}, {}, "owner", []),
        ({"required_fields": ("due_at", "assignee_ids")}, {"due_at": NOW}, "member", ["required_fields"]),
        ({"required_fields": ("due_at", "start_at")}, {"due_on": NOW.date(), "start_on": NOW.date()}, "member", []),
    ],
    ids=[
        "none",
        "subtasks",
        "blocked",
        "open-items",
        "no-open-items",
        "role",
        "higher-role",
        "fields",
        "fields-as-days",
    ],
)
def test_each_guard_refuses_by_its_name(
    way: dict[str, Any], task: dict[str, Any], role: str, guards: list[str]
) -> None:
    done = a_state("done", Status.DONE)
    doing = a_state("doing", Status.IN_PROGRESS, transitions=(Transition(done.id, **way),))
    assert [each.guard for each in refusals(doing, done, a_task(**task), role)] == guards


def test_a_state_with_transitions_leads_nowhere_else_and_one_without_anywhere() -> None:
    done, free = a_state("done", Status.DONE), a_state("free", Status.TODO)
    bound = a_state("bound", Status.TODO, transitions=(Transition(done.id),))
    assert [each.guard for each in refusals(bound, free, a_task(), "owner")] == ["transition"]
    assert not refusals(free, bound, a_task(), "member")
    assert not refusals(None, bound, a_task(), "member")


def test_a_column_goes_behind_another_or_in_front() -> None:
    first = a_state("1", Status.TODO, "a0")
    second = replace(a_state("2", Status.TODO, "a1"), id=uuid7())
    assert place_of_column([first, second], second.id, None) < "a0"
    assert "a0" < place_of_column([first, second], None, first.id) < "a1"
    with pytest.raises(KeyError):
        place_of_column([first, second], first.id, first.id)


def test_columns_are_spread_out_in_their_order_with_short_positions() -> None:
    columns = [replace(a_state(name, Status.TODO, f"a{place}"), id=uuid7()) for place, name in enumerate("abc")]
    positions = spread(columns, columns[0].id, "a1" + "0" * 100 + "1")
    assert sorted(positions, key=positions.__getitem__) == [columns[1].id, columns[0].id, columns[2].id]
    assert max(map(len, positions.values())) <= 2
