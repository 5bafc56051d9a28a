"""Checklists of tasks through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import boards_pb2, checklists_pb2, history_pb2, projects_pb2, tasks_pb2, trash_pb2
from rota_chassis.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    Unprocessable,
)
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


async def add(
    stage: Stage, task: tasks_pb2.Task, title: str = "Fill the can", *, user: User | None = None, **fields: Any
) -> checklists_pb2.ChecklistItem:
    request = checklists_pb2.CreateChecklistItemRequest(task_id=task.id, title=title, **fields)
    return (await stage.checklists.CreateChecklistItem(request, metadata=(user or stage.ada).metadata)).item


async def change(
    stage: Stage,
    item: checklists_pb2.ChecklistItem,
    *,
    user: User | None = None,
    if_match: str = "",
    clear: tuple[str, ...] = (),
    **fields: Any,
) -> checklists_pb2.ChecklistItem:
    request = checklists_pb2.UpdateChecklistItemRequest(
        task_id=item.task_id, id=item.id, update_mask=FieldMask(paths=[*fields, *clear]), if_match=if_match, **fields
    )
    return (await stage.checklists.UpdateChecklistItem(request, metadata=(user or stage.ada).metadata)).item


async def remove(
    stage: Stage, item: checklists_pb2.ChecklistItem, *, user: User | None = None, if_match: str = ""
) -> None:
    request = checklists_pb2.DeleteChecklistItemRequest(task_id=item.task_id, id=item.id, if_match=if_match)
    await stage.checklists.DeleteChecklistItem(request, metadata=(user or stage.ada).metadata)


async def read(
    stage: Stage, item: checklists_pb2.ChecklistItem, *, user: User | None = None
) -> checklists_pb2.ChecklistItem:
    request = checklists_pb2.GetChecklistItemRequest(task_id=item.task_id, id=item.id)
    return (await stage.checklists.GetChecklistItem(request, metadata=(user or stage.ada).metadata)).item


async def titles(stage: Stage, task: tasks_pb2.Task, *, size: int = 50) -> list[str]:
    seen: list[str] = []
    token = ""
    while True:
        request = checklists_pb2.ListChecklistItemsRequest(task_id=task.id, page_size=size, page_token=token)
        answer = await stage.checklists.ListChecklistItems(request, metadata=stage.ada.metadata)
        seen += [item.title for item in answer.items]
        token = answer.next_page_token
        if not token:
            return seen


async def get(stage: Stage, task: tasks_pb2.Task) -> tasks_pb2.Task:
    return (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)).task


async def counts(stage: Stage, task: tasks_pb2.Task) -> tuple[int, int]:
    checklist = (await get(stage, task)).checklist
    return checklist.open, checklist.total


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=1)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


async def test_items_are_listed_in_their_order_in_pages_and_moved(stage: Stage) -> None:
    task, other = await stage.create(), await stage.create()
    items = [await add(stage, task, title) for title in "abcde"]
    await add(stage, other)
    assert await titles(stage, task, size=2) == list("abcde")
    await change(stage, items[4], before_id=items[1].id)
    assert await titles(stage, task) == list("aebcd")
    await change(stage, items[0], after_id=items[2].id)
    assert await titles(stage, task) == list("ebcad")
    await change(stage, items[3], clear=("after_id",))
    assert await titles(stage, task) == list("debca")
    moved = await change(stage, items[3], clear=("before_id",))
    assert await titles(stage, task, size=1) == list("ebcad")
    moved = await change(stage, moved, after_id=items[0].id)
    assert await titles(stage, task) == list("ebcad")
    assert moved.version == 3
    assert await differences(stage) == 0


async def test_a_neighbor_is_another_item_of_the_same_task(stage: Stage) -> None:
    task, other = await stage.create(), await stage.create()
    item, elsewhere = await add(stage, task), await add(stage, other)
    for neighbor_id in (item.id, elsewhere.id, str(uuid4())):
        with pytest.raises(NotFound) as caught:
            await change(stage, item, before_id=neighbor_id)
        assert (caught.value.code, caught.value.violations[0].field) == ("NEIGHBOR_NOT_FOUND", "before_id")


async def test_ticking_off_says_who_and_when_and_a_task_counts(stage: Stage) -> None:
    task = await stage.create()
    assert (await get(stage, task)).HasField("checklist")
    first, second = await add(stage, task), await add(stage, task)
    before = await get(stage, task)
    assert await counts(stage, task) == (2, 2)
    done = await change(stage, first, is_done=True)
    assert (done.is_done, done.done_by, done.HasField("done_at"), done.version) == (True, str(stage.ada.id), True, 2)
    assert await change(stage, first, is_done=True) == done
    assert await counts(stage, task) == (1, 2)
    shown = await get(stage, task)
    assert (shown.version, shown.etag == before.etag) == (before.version, False)
    again = await change(stage, first, clear=("is_done",))
    assert (again.is_done, again.HasField("done_by"), again.HasField("done_at")) == (False, False, False)
    await remove(stage, second)
    assert await counts(stage, task) == (1, 1)
    listed = (await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)).tasks[0]
    assert (listed.checklist.open, listed.checklist.total) == (1, 1)
    assert await differences(stage) == 0


async def test_an_item_may_have_an_assignee_who_is_a_member(stage: Stage) -> None:
    task = await stage.create()
    for attempt in (add(stage, task, assignee_id=str(uuid4())), add(stage, task, assignee_id=str(stage.grace.id))):
        with pytest.raises(Conflict) as caught:
            await attempt
        assert (caught.value.code, caught.value.violations[0].field) == ("ASSIGNEE_NOT_A_MEMBER", "assignee_id")
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    item = await add(stage, task, assignee_id=str(stage.ada.id))
    with pytest.raises(Conflict):
        await change(stage, item, assignee_id=str(uuid4()))
    assert (await change(stage, item, title="Fill two", is_done=True)).assignee_id == str(stage.ada.id)
    assert not (await change(stage, item, clear=("assignee_id",))).HasField("assignee_id")


async def test_an_item_exists_for_members_and_on_its_task_only(stage: Stage) -> None:
    task, other = await stage.create(), await stage.create()
    item = await add(stage, task)
    for attempt in (
        add(stage, task, user=stage.grace),
        read(stage, item, user=stage.grace),
        change(stage, item, user=stage.grace, is_done=True),
        remove(stage, item, user=stage.grace),
    ):
        with pytest.raises(NotFound) as caught:
            await attempt
        assert caught.value.code == "TASK_NOT_FOUND"
    elsewhere = checklists_pb2.ChecklistItem(id=item.id, task_id=other.id)
    for attempt in (read(stage, elsewhere), change(stage, elsewhere, is_done=True), remove(stage, elsewhere)):
        with pytest.raises(NotFound) as caught:
            await attempt
        assert caught.value.code == "CHECKLIST_ITEM_NOT_FOUND"
    assert await read(stage, item) == item


async def test_a_viewer_reads_a_checklist_and_changes_nothing(stage: Stage) -> None:
    task = await stage.create()
    item = await add(stage, task)
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    assert await read(stage, item, user=stage.grace) == item
    for attempt in (
        add(stage, task, user=stage.grace),
        change(stage, item, user=stage.grace, is_done=True),
        remove(stage, item, user=stage.grace),
    ):
        with pytest.raises(PermissionDenied):
            await attempt


async def test_what_breaks_the_contract_is_refused_by_field(stage: Stage) -> None:
    task = await stage.create()
    item = await add(stage, task, "x" * 500)
    for title in ("", " \t", "x" * 501):
        with pytest.raises(InvalidArgument) as caught:
            await add(stage, task, title)
        assert [each.field for each in caught.value.violations] == ["title"]
        with pytest.raises(InvalidArgument):
            await change(stage, item, title=title)
    for field in ("assignee_id", "before_id", "after_id"):
        with pytest.raises(InvalidArgument) as caught:
            await change(stage, item, **{field: "me"})
        assert [each.field for each in caught.value.violations] == [field]
    with pytest.raises(InvalidArgument):
        await add(stage, task, assignee_id="me")


async def test_a_stale_entity_tag_changes_nothing(stage: Stage) -> None:
    item = await add(stage, await stage.create())
    outcomes = await asyncio.gather(
        *(change(stage, item, title=f"title {number}", if_match=item.etag) for number in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, PreconditionFailed) for each in outcomes) == 5
    with pytest.raises(PreconditionFailed):
        await remove(stage, item, if_match=item.etag)


async def test_a_repeated_request_returns_the_first_item(stage: Stage) -> None:
    task = await stage.create()
    made = await asyncio.gather(*(add(stage, task, request_id="key-1") for _ in range(6)))
    assert len({item.id for item in made}) == len(await titles(stage, task)) == 1
    with pytest.raises(Unprocessable):
        await add(stage, task, "Something else", request_id="key-1")
    await remove(stage, made[0])
    with pytest.raises(NotFound):
        await add(stage, task, request_id="key-1")


async def test_fifty_at_once_keep_the_limit_and_an_order(stage: Stage) -> None:
    task = await stage.create()
    for start in range(0, 180, 60):
        await asyncio.gather(*(add(stage, task, str(start + number)) for number in range(60)))
    outcomes = await asyncio.gather(*(add(stage, task, "late") for _ in range(50)), return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, Conflict)]
    assert (len(refused), {each.code for each in refused}) == (30, {"TOO_MANY_CHECKLIST_ITEMS"})
    first = checklists_pb2.ListChecklistItemsRequest(task_id=task.id, page_size=200)
    items = (await stage.checklists.ListChecklistItems(first, metadata=stage.ada.metadata)).items
    assert (len(items), await counts(stage, task)) == (200, (200, 200))
    await asyncio.gather(*(change(stage, item, after_id=items[0].id, is_done=True) for item in items[150:]))
    after = (await stage.checklists.ListChecklistItems(first, metadata=stage.ada.metadata)).items
    assert len({item.position for item in after}) == 200
    assert {item.id for item in after[1:51]} == {item.id for item in items[150:]}
    assert await counts(stage, task) == (150, 200)
    assert await differences(stage) == 0


async def test_a_guard_keeps_a_task_open_until_its_checklist_is_done(stage: Stage) -> None:
    answer = await stage.projects.CreateProject(
        projects_pb2.CreateProjectRequest(name="House"), metadata=stage.ada.metadata
    )
    place = {"project_id": answer.project.id}

    async def state(**fields: Any) -> str:
        request = boards_pb2.CreateStateRequest(**place, **fields)
        return (await stage.boards.CreateState(request, metadata=stage.ada.metadata)).state.id

    done = await state(name="Done", group=tasks_pb2.TASK_STATUS_DONE)
    way = boards_pb2.Transition(to_state_id=done, guards=[boards_pb2.TRANSITION_GUARD_CHECKLIST_DONE])
    doing = await state(name="Doing", group=tasks_pb2.TASK_STATUS_IN_PROGRESS, transitions=[way])
    complete = stage.tasks.CompleteTask
    for _ in range(5):
        task = await stage.create(state_id=doing, **place)
        item = await add(stage, task)
        with pytest.raises(Conflict) as caught:
            await complete(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
        assert [each.reason for each in caught.value.violations] == ["checklist_done"]
        await change(stage, item, is_done=True)
        # Whichever comes first: a task that is done had nothing open then.
        added, completed = await asyncio.gather(
            add(stage, task, "One more"),
            complete(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=stage.ada.metadata),
            return_exceptions=True,
        )
        assert not isinstance(added, Exception)
        if not isinstance(completed, Exception):
            assert completed.task.completed_at.ToNanoseconds() <= added.created_at.ToNanoseconds()


async def test_a_checklist_goes_with_its_task_and_comes_back_with_it(stage: Stage) -> None:
    task = await stage.create()
    child = await stage.create(parent_id=task.id)
    kept, gone = await add(stage, task, "kept"), await add(stage, task, "gone")
    below = await add(stage, child, "below")
    kept = await change(stage, kept, is_done=True, before_id=gone.id)
    await remove(stage, gone)
    delete = tasks_pb2.DeleteTaskRequest(id=task.id)
    restore = trash_pb2.RestoreTaskRequest(id=task.id)
    for _ in range(2):
        await stage.tasks.DeleteTask(delete, metadata=stage.ada.metadata)
        with pytest.raises(NotFound):
            await read(stage, kept)
        assert await differences(stage) == 0
        restored = (await stage.trash.RestoreTask(restore, metadata=stage.ada.metadata)).task
        assert (restored.checklist.open, restored.checklist.total) == (0, 1)
        assert (await read(stage, kept), await read(stage, below)) == (kept, below)
    await add(stage, task, "later")
    await change(stage, kept, title="changed")
    assert await differences(stage) == 0


async def test_items_added_while_their_task_is_deleted_are_not_left_behind(stage: Stage) -> None:
    task = await stage.create()
    outcomes = await asyncio.gather(
        *(add(stage, task) for _ in range(4)),
        stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata),
        *(add(stage, task) for _ in range(4)),
        return_exceptions=True,
    )
    added = sum(isinstance(each, checklists_pb2.ChecklistItem) for each in outcomes)
    restore = trash_pb2.RestoreTaskRequest(id=task.id)
    restored = (await stage.trash.RestoreTask(restore, metadata=stage.ada.metadata)).task
    assert restored.checklist.total == added
    assert await differences(stage) == 0


async def test_events_and_history_tell_of_each_change(stage: Stage) -> None:
    task = await stage.create()
    item = await add(stage, task)
    item = await change(stage, item, is_done=True)
    await remove(stage, item)
    connection = await asyncpg.connect(stage.database_url)
    rows = await connection.fetch(
        "SELECT type, aggregate_version AS version, data -> 'checklist_item' ->> 'is_done' AS done FROM events "
        "WHERE aggregate_id = $1 ORDER BY position",
        item.id,
    )
    await connection.close()
    assert [tuple(row) for row in rows] == [
        ("checklist_item.created", 1, "false"),
        ("checklist_item.updated", 2, "true"),
        ("checklist_item.deleted", 3, "true"),
    ]
    request = history_pb2.ListTaskHistoryRequest(id=task.id)
    entries = (await stage.history.ListTaskHistory(request, metadata=stage.ada.metadata)).entries
    assert [entry.verb for entry in entries] == [
        "checklist_item_deleted",
        "checklist_item_updated",
        "checklist_item_created",
        "created",
    ]
    ticked = {each.field: each.new.bool_value for each in entries[1].changes if each.field == "is_done"}
    assert ticked == {"is_done": True}
