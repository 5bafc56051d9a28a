"""The critical path, and what moves when a date does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_tasks.planning.domain import Edge, moves, plan
from rota_tasks.tasks.domain import Status, Task

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def task(number: int, **fields: Any) -> Task:
    known = {"workspace_id": UUID(int=99), "created_by": UUID(int=98), "created_at": NOON, "updated_at": NOON}
    return Task(id=UUID(int=number), title=f"task {number}", **known, **fields)


def edge(before: int, after: int, lag: timedelta = timedelta()) -> Edge:
    return Edge(UUID(int=before), UUID(int=after), lag)


def hours(number: int, count: int, **fields: Any) -> Task:
    return task(number, estimate_s=count * 3600, **fields)


def numbers(ids: Any) -> list[int]:
    return [each.int for each in ids]


def test_the_longest_chain_is_critical_and_the_others_have_slack() -> None:
    found = plan([hours(1, 2), hours(2, 5), hours(3, 1), hours(4, 1)], [edge(1, 3), edge(2, 3, HOUR), edge(1, 4)])
    assert numbers(found.path) == [2, 3]
    assert found.duration == 7 * HOUR
    assert [node.earliest_start / HOUR for node in found.nodes] == [0, 0, 6, 2]
    assert [node.slack / HOUR for node in found.nodes] == [4, 0, 0, 4]


def test_what_is_done_takes_no_time_and_holds_nothing_up() -> None:
    found = plan([hours(1, 9, status=Status.DONE), hours(2, 1)], [edge(1, 2, HOUR)])
    assert (numbers(found.path), found.duration) == ([2], HOUR)


def test_without_an_estimate_a_task_takes_from_its_start_to_its_due_date() -> None:
    found = plan([task(1, start_on=date(2026, 11, 21), due_on=date(2026, 11, 22)), task(2)], [edge(1, 2)])
    assert found.duration == 2 * DAY
    assert plan([task(1), task(2)], [edge(1, 2)]).path == []


@given(st.data())
def test_no_task_begins_before_what_it_waits_for_and_the_path_has_no_slack(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    tasks = [hours(number, data.draw(st.integers(0, 5))) for number in range(1, count + 1)]
    pairs = [(low, high) for high in range(1, count + 1) for low in range(1, high)]
    chosen = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    edges = [edge(low, high, data.draw(st.integers(0, 3)) * HOUR) for low, high in chosen]
    found = plan(tasks, edges)
    nodes = {node.task.id: node for node in found.nodes}
    for each in edges:
        before, after = nodes[each.before], nodes[each.after]
        assert before.earliest_start + before.duration + each.lag <= after.earliest_start
        assert before.earliest_start + before.slack + before.duration + each.lag <= after.earliest_start + after.slack
    assert all(nodes[each].slack == timedelta() for each in found.path)
    assert all(node.slack >= timedelta() for node in found.nodes)


def test_what_waits_moves_to_where_it_may_begin_and_no_further() -> None:
    first = task(1, start_at=NOON, due_at=NOON + HOUR)
    second = task(2, start_at=NOON + 2 * HOUR, due_at=NOON + 3 * HOUR)
    third = task(3, due_at=NOON + 9 * DAY)
    edges = [edge(1, 2, HOUR), edge(2, 3)]
    moved = moves(first, {"due_at": NOON + 3 * HOUR}, [second, third], edges)
    assert [(each.id.int, changes) for each, changes in moved] == [
        (1, {"start_at": NOON + 2 * HOUR, "due_at": NOON + 3 * HOUR}),
        (2, {"start_at": NOON + 4 * HOUR, "due_at": NOON + 5 * HOUR}),
    ]
    assert moves(first, {"due_at": NOON + HOUR}, [second, third], edges) == []


def test_a_move_to_an_earlier_time_leaves_what_waits() -> None:
    first, second = task(1, due_at=NOON), task(2, start_at=NOON)
    assert [each.id.int for each, _ in moves(first, {"due_at": NOON - DAY}, [second], [edge(1, 2)])] == [1]


def test_a_task_without_dates_neither_moves_nor_passes_it_on() -> None:
    first, bare, last = task(1, due_at=NOON), task(2), task(3, start_at=NOON)
    moved = moves(first, {"due_at": NOON + DAY}, [bare, last], [edge(1, 2), edge(2, 3)])
    assert [each.id.int for each, _ in moved] == [1]


@pytest.mark.parametrize("zone", ["Europe/Warsaw", "America/Santiago", "America/New_York", "UTC"])
def test_days_move_by_days_across_a_change_of_the_clocks(zone: str) -> None:
    for month in range(1, 13):
        first = task(1, due_on=date(2026, month, 1), time_zone=zone)
        second = task(2, start_on=date(2026, month, 2), due_on=date(2026, month, 4), time_zone=zone)
        for later in range(2, 28):
            due = {"due_on": date(2026, month, later)}
            changed = {each.id.int: changes for each, changes in moves(first, due, [second], [edge(1, 2)])}
            start = date(2026, month, later) + DAY
            assert changed[2] == {"start_on": start, "due_on": start + 2 * DAY}


def test_what_begins_on_a_day_waits_for_the_next_when_the_other_ends_within_one() -> None:
    first = task(1, due_at=NOON)
    second = task(2, start_on=date(2026, 11, 21), due_on=date(2026, 11, 21))
    moved = {each.id.int: changes for each, changes in moves(first, {"due_at": NOON + HOUR}, [second], [edge(1, 2)])}
    assert moved[2] == {"start_on": date(2026, 11, 22), "due_on": date(2026, 11, 22)}


def test_a_start_moves_along_with_its_due_date_whatever_they_are_written_as() -> None:
    on_days = task(1, start_on=date(2026, 11, 1), due_on=date(2026, 11, 3))
    (_, changes), *_ = moves(on_days, {"due_on": date(2026, 11, 5)}, [], [])
    assert changes == {"start_on": date(2026, 11, 3), "due_on": date(2026, 11, 5)}
    mixed = task(1, start_at=NOON, due_on=date(2026, 11, 23))
    (_, changes), *_ = moves(mixed, {"due_on": date(2026, 11, 22)}, [], [])
    assert changes == {"start_at": NOON - DAY, "due_on": date(2026, 11, 22)}


def test_beyond_the_last_date_nothing_moves() -> None:
    first, second = task(1, due_at=NOON), task(2, start_at=NOON, due_on=date(9999, 12, 30))
    with pytest.raises(OverflowError):
        moves(first, {"due_at": NOON + 9 * DAY}, [second], [edge(1, 2)])
