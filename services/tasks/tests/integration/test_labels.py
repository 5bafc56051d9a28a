"""Labels, and the other fields of a task, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rota.tasks.v1 import labels_pb2, tasks_pb2
from rota_chassis.errors import AlreadyExists, InvalidArgument, NotFound, PermissionDenied, PreconditionFailed
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


async def a_label(stage: Stage, name: str = "garden", *, user: User | None = None, **fields: Any) -> labels_pb2.Label:
    answer = await stage.labels.CreateLabel(
        labels_pb2.CreateLabelRequest(name=name, **fields), metadata=(user or stage.ada).metadata
    )
    return answer.label


async def read(stage: Stage, task: tasks_pb2.Task) -> tasks_pb2.Task:
    return (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)).task


async def update(stage: Stage, task: tasks_pb2.Task, *named: str, **fields: Any) -> tasks_pb2.Task:
    request = tasks_pb2.UpdateTaskRequest(id=task.id, update_mask=FieldMask(paths=[*fields, *named]), **fields)
    return (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task


async def found(stage: Stage, label: labels_pb2.Label) -> list[str]:
    answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(label_id=label.id), metadata=stage.ada.metadata)
    return [task.id for task in answer.tasks]


async def test_a_label_is_made_read_changed_listed_and_deleted(stage: Stage) -> None:
    label = await a_label(stage, color="#00aa00")
    assert (label.name, label.color, label.version) == ("garden", "#00aa00", 1)
    changed = await stage.labels.UpdateLabel(
        labels_pb2.UpdateLabelRequest(id=label.id, name="Garden", update_mask=FieldMask(paths=["name", "color"])),
        metadata=stage.ada.metadata,
    )
    assert (changed.label.name, changed.label.color, changed.label.version) == ("Garden", "", 2)
    answer = await stage.labels.GetLabel(labels_pb2.GetLabelRequest(id=label.id), metadata=stage.ada.metadata)
    assert answer.label == changed.label
    listed = await stage.labels.ListLabels(labels_pb2.ListLabelsRequest(), metadata=stage.ada.metadata)
    assert list(listed.labels) == [changed.label]
    await stage.labels.DeleteLabel(labels_pb2.DeleteLabelRequest(id=label.id), metadata=stage.ada.metadata)
    with pytest.raises(NotFound) as caught:
        await stage.labels.GetLabel(labels_pb2.GetLabelRequest(id=label.id), metadata=stage.ada.metadata)
    assert caught.value.code == "LABEL_NOT_FOUND"


async def test_a_name_is_unique_in_its_workspace_whatever_its_case(stage: Stage) -> None:
    await a_label(stage, "École")
    for name in ("école", "ÉCOLE", " E\u0301cole "):
        with pytest.raises(AlreadyExists) as caught:
            await a_label(stage, name)
        assert caught.value.code == "LABEL_EXISTS"
    await a_label(stage, "École", user=stage.grace)
    other = await a_label(stage, "Strasse")
    with pytest.raises(AlreadyExists):
        await stage.labels.UpdateLabel(
            labels_pb2.UpdateLabelRequest(id=other.id, name="éCOLE", update_mask=FieldMask(paths=["name"])),
            metadata=stage.ada.metadata,
        )


async def test_of_many_who_create_one_name_at_once_one_does(stage: Stage) -> None:
    outcomes = await asyncio.gather(*(a_label(stage, "garden") for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(each, labels_pb2.Label) for each in outcomes) == 1
    assert sum(isinstance(each, AlreadyExists) for each in outcomes) == 9


async def test_another_workspaces_label_does_not_exist(stage: Stage) -> None:
    label = await a_label(stage, user=stage.grace)
    task = await stage.create()
    with pytest.raises(NotFound):
        await stage.labels.GetLabel(labels_pb2.GetLabelRequest(id=label.id), metadata=stage.ada.metadata)
    with pytest.raises(NotFound) as caught:
        await stage.create(label_ids=[label.id])
    assert [each.field for each in caught.value.violations] == ["label_ids[0]"]
    own = await a_label(stage)
    with pytest.raises(NotFound) as caught:
        await update(stage, task, label_ids=[own.id, str(uuid4())])
    assert [each.field for each in caught.value.violations] == ["label_ids[1]"]


async def test_a_viewer_cannot_make_a_label(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    with pytest.raises(PermissionDenied):
        await a_label(stage, user=stage.grace, workspace_id=str(stage.ada.workspace_id))


async def test_names_and_colors_that_break_the_contract_are_named(stage: Stage) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await a_label(stage, "  ", color="green")
    assert {each.field for each in caught.value.violations} == {"name", "color"}
    label = await a_label(stage)
    with pytest.raises(InvalidArgument):
        await stage.labels.UpdateLabel(
            labels_pb2.UpdateLabelRequest(id=label.id, update_mask=FieldMask(paths=["name"])),
            metadata=stage.ada.metadata,
        )


async def test_a_stale_entity_tag_is_refused(stage: Stage) -> None:
    label = await a_label(stage)
    for if_match in ('"v2"', "nonsense", 'W/"v1"'):
        with pytest.raises(PreconditionFailed):
            await stage.labels.DeleteLabel(
                labels_pb2.DeleteLabelRequest(id=label.id, if_match=if_match), metadata=stage.ada.metadata
            )


async def test_pages_of_labels_show_each_once(stage: Stage) -> None:
    made = [(await a_label(stage, f"label {number}")).id for number in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        request = labels_pb2.ListLabelsRequest(page_size=2, page_token=token, workspace_id=str(stage.ada.workspace_id))
        answer = await stage.labels.ListLabels(request, metadata=stage.ada.metadata)
        seen += [label.id for label in answer.labels]
        token = answer.next_page_token
        if not token:
            break
    assert seen == sorted(made, reverse=True)


async def test_tasks_keep_their_labels_in_order_and_are_found_by_them(stage: Stage) -> None:
    garden, urgent = await a_label(stage), await a_label(stage, "urgent")
    task = await stage.create(label_ids=[urgent.id, garden.id])
    other = await stage.create(label_ids=[garden.id])
    assert list((await read(stage, task)).label_ids) == [urgent.id, garden.id]
    assert await found(stage, garden) == [other.id, task.id]
    assert await found(stage, urgent) == [task.id]
    await update(stage, task, "label_ids")
    assert await found(stage, garden) == [other.id]


async def test_a_deleted_label_is_gone_from_every_read_and_the_entity_tag_says_so(stage: Stage) -> None:
    garden, urgent = await a_label(stage), await a_label(stage, "urgent")
    task = await stage.create(label_ids=[garden.id, urgent.id])
    before = await read(stage, task)
    await stage.labels.DeleteLabel(labels_pb2.DeleteLabelRequest(id=garden.id), metadata=stage.ada.metadata)
    after = await read(stage, task)
    assert list(after.label_ids) == [urgent.id]
    assert before.version == after.version
    assert before.etag != after.etag
    assert await found(stage, garden) == []
    # Nothing of the task itself has changed, so the older tag still guards a write.
    request = tasks_pb2.UpdateTaskRequest(
        id=task.id, progress=5, update_mask=FieldMask(paths=["progress"]), if_match=before.etag
    )
    assert (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task.progress == 5
    with pytest.raises(PreconditionFailed):
        await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)


async def test_the_other_fields_are_kept_cleared_and_replaced(stage: Stage) -> None:
    start, deadline = Timestamp(seconds=1_900_000_000), Timestamp(seconds=1_900_086_400)
    task = await stage.create(start_at=start, deadline_at=deadline, estimate_s=0, progress=40, category="house")
    shown = await read(stage, task)
    assert (shown.start_at, shown.deadline_at, shown.estimate_s) == (start, deadline, 0)
    assert (shown.progress, shown.category, shown.HasField("estimate_s")) == (40, "house", True)
    cleared = await update(stage, task, "start_at", "estimate_s", "progress", "category")
    assert (cleared.HasField("start_at"), cleared.HasField("estimate_s")) == (False, False)
    assert (cleared.progress, cleared.category, cleared.deadline_at) == (0, "", deadline)
    replaced = await stage.tasks.ReplaceTask(
        tasks_pb2.ReplaceTaskRequest(id=task.id, title="Anew", estimate_s=60), metadata=stage.ada.metadata
    )
    assert (replaced.task.HasField("deadline_at"), replaced.task.estimate_s) == (False, 60)


async def test_fields_out_of_range_are_named(stage: Stage) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await stage.create(progress=101, estimate_s=-1, category="x" * 101, label_ids=[str(uuid4())] * 2)
    assert {each.field for each in caught.value.violations} == {"progress", "estimate_s", "category", "label_ids"}


async def test_labels_rebuild_from_the_log(stage: Stage) -> None:
    garden, gone = await a_label(stage), await a_label(stage, "gone")
    await stage.create(label_ids=[garden.id, gone.id], progress=7, estimate_s=60, category="house")
    await stage.labels.DeleteLabel(labels_pb2.DeleteLabelRequest(id=gone.id), metadata=stage.ada.metadata)
    await a_label(stage, "Gone")
    database = await Database.connect(stage.database_url, size=2)
    try:
        rebuilt = await rebuild(database)
    finally:
        await database.close()
    assert (rebuilt.rows, rebuilt.differences) == (3, 0)
