"""What the next occurrence takes over from the one before it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask
from rebuilding import require_rebuilt
from rota.tasks.v1 import (
    checklists_pb2,
    custom_fields_pb2,
    projects_pb2,
    recurrence_pb2,
    relations_pb2,
    series_pb2,
    tasks_pb2,
)
from rota_chassis.postgres.database import Database
from rota_chassis.testing.waiting import eventually
from rota_tasks.series import carrying, commands
from rota_tasks.tasks.dependencies import Tasks

if TYPE_CHECKING:
    import pytest
    from conftest import Stage
    from rota_chassis.testing.clock import ManualClock


def daily(**carried: bool) -> recurrence_pb2.Recurrence:
    rule = recurrence_pb2.Recurrence(rrule="FREQ=DAILY", time_zone="UTC")
    if carried:
        rule.carried_over.CopyFrom(recurrence_pb2.CarriedOver(**carried))
    return rule


async def complete(stage: Stage, task: Any) -> None:
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=stage.ada.metadata)


async def listed(stage: Stage) -> list[Any]:
    answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(page_size=200), metadata=stage.ada.metadata)
    return list(answer.tasks)


async def occurrence(stage: Stage, series_id: str, name: str) -> Any:
    async def made() -> Any:
        return next(
            (each for each in await listed(stage) if (each.series_id, each.occurrence) == (series_id, name)), None
        )

    return await eventually(made)


async def below(stage: Stage, task: Any) -> dict[str, Any]:
    return {each.title: each for each in await listed(stage) if each.parent_id == task.id}


async def tick_off(stage: Stage, task: Any, title: str) -> None:
    added = await stage.checklists.CreateChecklistItem(
        checklists_pb2.CreateChecklistItemRequest(task_id=task.id, title=title), metadata=stage.ada.metadata
    )
    await stage.checklists.UpdateChecklistItem(
        checklists_pb2.UpdateChecklistItemRequest(
            task_id=task.id, id=added.item.id, is_done=True, update_mask=FieldMask(paths=["is_done"])
        ),
        metadata=stage.ada.metadata,
    )


async def with_parts(stage: Stage, **carried: bool) -> Any:
    """A task that recurs, in a project with a custom field, with parts of parts, some of which are done."""
    project = (
        await stage.projects.CreateProject(projects_pb2.CreateProjectRequest(name="House"), metadata=stage.ada.metadata)
    ).project
    room = (
        await stage.fields.CreateCustomField(
            custom_fields_pb2.CreateCustomFieldRequest(
                project_id=project.id, name="Room", type=custom_fields_pb2.CUSTOM_FIELD_TYPE_TEXT
            ),
            metadata=stage.ada.metadata,
        )
    ).field
    first = await stage.create("Clean", project_id=project.id, due_on="2026-01-01", recurrence=daily(**carried))
    # After it began to recur: it is the occurrence that is taken over, not what it began as.
    request = tasks_pb2.UpdateTaskRequest(id=first.id, update_mask=FieldMask(paths=[f"fields.{room.id}"]))
    request.fields[room.id].text = "Kitchen"
    await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)
    await tick_off(stage, first, "Bucket")
    sweep = await stage.create(
        "Sweep",
        project_id=project.id,
        parent_id=first.id,
        due_on="2026-01-02",
        assignee_ids=[str(stage.ada.id)],
        fields={room.id: tasks_pb2.CustomValue(text="Hall")},
    )
    wipe = await stage.create("Wipe", parent_id=first.id)
    dry = await stage.create("Dry", parent_id=wipe.id)
    await tick_off(stage, dry, "Towel")
    await stage.relations.CreateRelation(
        relations_pb2.CreateRelationRequest(id=sweep.id, task_id=wipe.id, type=relations_pb2.RELATION_TYPE_BLOCKS),
        metadata=stage.ada.metadata,
    )
    for task in (sweep, dry):
        await complete(stage, task)
    return first


async def test_parts_values_and_checklists_are_taken_over_with_nothing_done(stage: Stage) -> None:
    first = await with_parts(stage)
    await complete(stage, first)
    second = await occurrence(stage, first.series_id, "2026-01-02")
    assert [value.text for value in second.fields.values()] == ["Kitchen"]
    assert (second.checklist.open, second.checklist.total) == (1, 1)
    parts = await below(stage, second)
    assert set(parts) == {"Sweep", "Wipe"}
    sweep, wipe = parts["Sweep"], parts["Wipe"]
    assert (sweep.status, sweep.due_on, list(sweep.assignee_ids)) == (
        tasks_pb2.TASK_STATUS_TODO,
        "2026-01-03",
        [str(stage.ada.id)],
    )
    assert [value.text for value in sweep.fields.values()] == ["Hall"]
    assert list(wipe.blocked_by) == [sweep.id]
    (dry,) = (await below(stage, wipe)).values()
    assert (dry.status, dry.checklist.open, dry.checklist.total) == (tasks_pb2.TASK_STATUS_TODO, 1, 1)
    await complete(stage, second)
    third = await occurrence(stage, first.series_id, "2026-01-03")
    assert set(await below(stage, third)) == {"Sweep", "Wipe"}
    await require_rebuilt(stage.database_url)


async def test_what_is_not_to_be_taken_over_is_not(stage: Stage) -> None:
    first = await with_parts(stage, checklist=False, subtasks=False, fields=False)
    assert first.recurrence.carried_over == recurrence_pb2.CarriedOver(
        checklist=False, subtasks=False, fields=False, attachments=False
    )
    await complete(stage, first)
    second = await occurrence(stage, first.series_id, "2026-01-02")
    assert (second.checklist.total, dict(second.fields), await below(stage, second)) == (0, {}, {})


async def test_what_is_taken_over_can_be_changed_and_stays_when_it_is_not_said(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily(subtasks=False))
    mask = FieldMask(paths=["recurrence"])

    async def changed(rule: recurrence_pb2.Recurrence) -> Any:
        request = tasks_pb2.UpdateTaskRequest(id=first.id, recurrence=rule, update_mask=mask)
        return (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task

    assert (await changed(daily())).series_id == first.series_id
    weekly = recurrence_pb2.Recurrence(rrule="FREQ=WEEKLY", time_zone="UTC")
    assert not (await changed(weekly)).recurrence.carried_over.subtasks
    again = await changed(recurrence_pb2.Recurrence(rrule="FREQ=WEEKLY", carried_over={"subtasks": True}))
    assert again.recurrence.carried_over.subtasks


async def test_without_an_occurrence_that_lives_there_is_nothing_to_take_over(stage: Stage) -> None:
    first = await with_parts(stage)
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=first.id), metadata=stage.ada.metadata)
    second = await occurrence(stage, first.series_id, "2026-01-02")
    assert await below(stage, second) == {}


async def test_said_twice_at_once_the_parts_are_there_once(stage: Stage, clock: ManualClock) -> None:
    first = await with_parts(stage)
    database = await Database.connect(stage.database_url, size=8, name="test")
    tasks = Tasks(database, None, clock, None, None)  # type: ignore[arg-type]

    async def say() -> None:
        async with database.transaction() as work:
            await commands.make_occurrence(
                work,
                tasks,
                workspace_id=stage.ada.workspace_id,
                series_id=UUID(first.series_id),
                version=1,
                occurrence="2026-01-02",
            )

    await asyncio.gather(*(say() for _ in range(6)))
    await database.close()
    # Three below the first, and as many below the next.
    assert sorted(each.title for each in await listed(stage)) == sorted(["Clean", "Sweep", "Wipe", "Dry"] * 2)


async def test_dying_while_it_is_taken_over_leaves_nothing_and_it_is_made_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = 0
    write = carrying.write

    async def dying(*arguments: Any) -> None:
        nonlocal died
        await write(*arguments)
        if died == 0:
            died += 1
            raise ConnectionError("killed before the commit")

    monkeypatch.setattr("rota_tasks.series.carrying.write", dying)
    first = await with_parts(stage)
    await complete(stage, first)
    second = await occurrence(stage, first.series_id, "2026-01-02")
    assert died == 1
    assert set(await below(stage, second)) == {"Sweep", "Wipe"}
    assert len(await listed(stage)) == 8


async def test_a_change_of_all_gives_a_value_to_open_occurrences(stage: Stage) -> None:
    first = await with_parts(stage)
    (field_id,) = (await occurrence(stage, first.series_id, "2026-01-01")).fields
    request = tasks_pb2.UpdateTaskRequest(
        id=first.id,
        scope=tasks_pb2.OCCURRENCE_SCOPE_ALL,
        update_mask=FieldMask(paths=[f"fields.{field_id}"]),
    )
    request.fields[field_id].text = "Attic"
    await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)
    await complete(stage, first)
    second = await occurrence(stage, first.series_id, "2026-01-02")
    assert second.fields[field_id].text == "Attic"
    answer = await stage.series.ListOccurrences(
        series_pb2.ListOccurrencesRequest(id=first.id, preview=0), metadata=stage.ada.metadata
    )
    assert len(answer.occurrences) == 2
