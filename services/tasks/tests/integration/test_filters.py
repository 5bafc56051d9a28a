"""Lists with a filter and an order, through gRPC, on real servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rota.tasks.v1 import labels_pb2, relations_pb2, tasks_pb2
from rota_chassis.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from conftest import Stage


def at(**away: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC) + timedelta(**away))
    return stamp


async def titles(stage: Stage, text: str = "", **fields: Any) -> list[str]:
    request = tasks_pb2.ListTasksRequest(filter=text, **fields)
    answer = await stage.tasks.ListTasks(request, metadata=stage.ada.metadata)
    return [task.title for task in answer.tasks]


async def test_a_filter_finds_what_it_says(stage: Stage) -> None:
    label = await stage.labels.CreateLabel(labels_pb2.CreateLabelRequest(name="Urgent"), metadata=stage.ada.metadata)
    whole = await stage.create("whole", priority="TASK_PRIORITY_HIGH", due_at=at(days=2))
    await stage.create("part", parent_id=whole.id, label_ids=[label.label.id], assignee_ids=[str(stage.ada.id)])
    blocked = await stage.create("blocked", priority="TASK_PRIORITY_URGENT", due_at=at(days=20))
    await stage.relations.CreateRelation(
        relations_pb2.CreateRelationRequest(id=blocked.id, type="RELATION_TYPE_IS_BLOCKED_BY", task_id=whole.id),
        metadata=stage.ada.metadata,
    )
    await stage.create("another's", user=stage.grace, priority="TASK_PRIORITY_HIGH")
    expected = {
        "priority >= high": ["blocked", "whole"],
        "priority >= high AND due_at < now+7d": ["whole"],
        'NOT label = "urgent"': ["blocked", "whole"],
        "label = ' URGENT ' OR is_blocked = true": ["blocked", "part"],
        f"label_id = {label.label.id}": ["part"],
        "label = nothing": [],
        "due_at = null": ["part"],
        "due_at != null AND -(priority = urgent)": ["whole"],
        "assignee = me": ["part"],
        "created_by = me AND assignee IS NULL": ["blocked", "whole"],
        f"blocked_by({whole.id})": ["blocked"],
        f"subtask_of({whole.id})": ["part"],
        "title : LO": ["blocked"],
        "status IN (todo, done) AND title = part": ["part"],
        "due_at >= tomorrow": ["blocked", "whole"],
    }
    for text, found in expected.items():
        assert await titles(stage, text) == found, text
    assert await titles(stage, "priority >= high", workspace_id=str(stage.ada.workspace_id), order_by="title desc") == [
        "whole",
        "blocked",
    ]


async def test_due_and_start_are_those_of_the_day_in_its_zone_or_the_instant(stage: Stage) -> None:
    await stage.create("east", due_on="2026-11-25", start_on="2026-11-25", time_zone="Pacific/Auckland")
    await stage.create("west", due_on="2026-11-25", start_on="2026-11-25", time_zone="America/New_York")
    noon = Timestamp(seconds=int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()))
    await stage.create("noon", due_at=noon, start_at=noon)
    await stage.create("last", due_on="9999-12-31", start_on="0001-01-01", time_zone="America/New_York")
    await stage.create("never")
    assert await titles(stage, order_by="due asc") == ["east", "noon", "west", "last", "never"]
    assert await titles(stage, order_by="start desc") == ["noon", "west", "east", "last", "never"]
    assert await titles(stage, "due < 2026-11-25T11:00:00Z", order_by="due") == ["east"]
    zone = {"time_zone": "America/New_York", "order_by": "due"}
    assert await titles(stage, "due >= 2026-11-25 AND due < 2026-11-26", **zone) == ["east", "noon", "west"]
    assert await titles(stage, "due = 2026-11-25", **zone) == ["east", "noon", "west"]
    assert await titles(stage, "due <= 2026-11-25", **zone) == ["east", "noon", "west"]
    assert await titles(stage, "NOT due != 2026-11-25 AND due != null", **zone) == ["east", "noon", "west"]
    assert await titles(stage, "due = null OR start < 2026-01-01", **zone) == ["last", "never"]


async def test_a_filter_asks_for_watchers_states_and_sections(stage: Stage) -> None:
    task = await stage.create("watched")
    await stage.create("not watched")
    await stage.tasks.WatchTask(tasks_pb2.WatchTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert await titles(stage, "watcher = me") == ["watched"]
    assert await titles(stage, "watcher IS NULL") == ["not watched"]
    assert await titles(stage, "state_id = null AND section_id = null AND watcher = me") == ["watched"]


@pytest.mark.parametrize("order", ["created_at", "updated_at", "due_at", "start_at", "priority", "title"])
@pytest.mark.parametrize("way", ["asc", "desc"])
async def test_pages_in_any_order_show_each_task_once_and_those_without_a_value_last(
    stage: Stage, order: str, way: str
) -> None:
    due = at(days=1)
    for number in range(7):
        fields: dict[str, Any] = {"due_at": due if number < 2 else at(days=number)} if number % 3 else {}
        await stage.create(f"task {number % 4}", priority=number % 5 + 1, **fields)
    seen: list[tasks_pb2.Task] = []
    token = ""
    while True:
        request = tasks_pb2.ListTasksRequest(
            filter="progress = 0", order_by=f"{order} {way}", page_size=2, page_token=token
        )
        answer = await stage.tasks.ListTasks(request, metadata=stage.ada.metadata)
        seen += answer.tasks
        token = answer.next_page_token
        if not token:
            break
    assert len({task.id for task in seen}) == len(seen) == 7
    if order == "created_at":
        keys: list[Any] = [task.id for task in seen]
    elif order in {"priority", "title"}:
        keys = [(getattr(task, order), task.id) for task in seen]
    else:
        valued = [task for task in seen if task.HasField(order)]
        assert seen[: len(valued)] == valued
        keys = [(getattr(task, order).ToNanoseconds(), task.id) for task in valued]
    assert keys == sorted(keys, reverse=way == "desc")


async def test_a_page_token_is_bound_to_filter_order_and_zone(stage: Stage) -> None:
    for _ in range(2):
        await stage.create()
    given = {"filter": "progress = 0", "order_by": "title", "time_zone": "Europe/Warsaw"}
    first = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(page_size=1, **given), metadata=stage.ada.metadata)
    for other in ({"filter": "progress < 1"}, {"order_by": "title desc"}, {"time_zone": "UTC"}):
        request = tasks_pb2.ListTasksRequest(page_size=1, page_token=first.next_page_token, **given | other)
        with pytest.raises(InvalidArgument) as caught:
            await stage.tasks.ListTasks(request, metadata=stage.ada.metadata)
        assert caught.value.code == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"filter": "nonsense"}, "INVALID_FILTER"),
        ({"filter": "title = 'x"}, "INVALID_FILTER"),
        ({"order_by": "description"}, "INVALID_ORDER"),
        ({"order_by": "title down"}, "INVALID_ORDER"),
        ({"filter": "due_at < today", "time_zone": "Mars/Base"}, "INVALID_FIELDS"),
    ],
    ids=["filter", "quote", "order", "direction", "zone"],
)
async def test_what_breaks_the_language_is_refused(stage: Stage, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await titles(stage, **{"text": fields.pop("filter", ""), **fields})
    assert caught.value.code == code
    assert caught.value.violations


async def test_a_filter_in_a_workspace_of_others_is_answered_404(stage: Stage) -> None:
    for workspace_id in (str(stage.grace.workspace_id), str(uuid4())):
        with pytest.raises(NotFound):
            await titles(stage, "progress = 0", workspace_id=workspace_id)
