"""Short keys of projects and tasks, on real servers."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import batch_pb2, copies_pb2, history_pb2, projects_pb2, search_pb2, sync_pb2, tasks_pb2, trash_pb2
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


async def a_project(stage: Stage, name: str = "Home", *, user: User | None = None, **fields: Any) -> Any:
    request = projects_pb2.CreateProjectRequest(name=name, **fields)
    return (await stage.projects.CreateProject(request, metadata=(user or stage.ada).metadata)).project


async def renamed(stage: Stage, project: Any, key: str) -> Any:
    request = projects_pb2.UpdateProjectRequest(id=project.id, key=key, update_mask=FieldMask(paths=["key"]))
    return (await stage.projects.UpdateProject(request, metadata=stage.ada.metadata)).project


async def edited(stage: Stage, task: Any, **fields: Any) -> Any:
    """The task with these fields, cleared where None."""
    request = tasks_pb2.UpdateTaskRequest(id=task.id, update_mask=FieldMask(paths=list(fields)), **fields)
    return (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task


async def by_key(stage: Stage, key: str, *, user: User | None = None, **fields: Any) -> Any:
    request = tasks_pb2.GetTaskByKeyRequest(key=key, **fields)
    return (await stage.tasks.GetTaskByKey(request, metadata=(user or stage.ada).metadata)).task


async def got(stage: Stage, task_id: str) -> Any:
    return (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task_id), metadata=stage.ada.metadata)).task


async def filtered(stage: Stage, where: str) -> list[str]:
    answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(filter=where), metadata=stage.ada.metadata)
    return [task.key for task in answer.tasks]


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=1)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


async def test_a_task_of_a_project_has_its_key_and_the_next_number(stage: Stage) -> None:
    project = await a_project(stage, "Move house")
    first, second = [await stage.create(project_id=project.id) for _ in range(2)]
    alone = await stage.create()
    assert (project.key, first.key, second.key, second.number) == ("MH", "MH-1", "MH-2", 2)
    assert not alone.HasField("key")
    assert not alone.HasField("number")
    assert await got(stage, first.id) == first
    assert await by_key(stage, "mh-2") == second
    listed = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    assert [task.key for task in listed.tasks] == ["", "MH-2", "MH-1"]


async def test_keys_are_made_from_names_or_given_and_unique_in_a_workspace(stage: Stage) -> None:
    made = [await a_project(stage) for _ in range(3)]
    assert [each.key for each in made] == ["HOME", "HOME2", "HOME3"]
    assert (await a_project(stage, key="GARDEN")).key == "GARDEN"
    assert (await a_project(stage, user=stage.grace)).key == "HOME"
    with pytest.raises(Conflict) as caught:
        await a_project(stage, key="GARDEN")
    assert caught.value.code == "PROJECT_KEY_TAKEN"
    assert caught.value.violations[0].field == "key"
    with pytest.raises(Conflict):
        await renamed(stage, made[0], "GARDEN")
    for wrong in ("garden", "G", "1G", "GARDENGARDEN", "G-1"):
        with pytest.raises(InvalidArgument):
            await a_project(stage, key=wrong)
    with pytest.raises(InvalidArgument):
        await stage.projects.UpdateProject(
            projects_pb2.UpdateProjectRequest(id=made[0].id, update_mask=FieldMask(paths=["key"])),
            metadata=stage.ada.metadata,
        )


async def test_projects_created_at_once_get_different_keys(stage: Stage) -> None:
    made = await asyncio.gather(*(a_project(stage) for _ in range(10)))
    assert len({each.key for each in made}) == 10
    given = await asyncio.gather(*(a_project(stage, key="ONE") for _ in range(5)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in given) == ["Conflict"] * 4 + ["Project"]


async def test_fifty_creators_at_once_get_fifty_numbers(stage: Stage) -> None:
    project, other = await a_project(stage), await a_project(stage, "Garden")
    made = await asyncio.gather(*(stage.create(project_id=project.id) for _ in range(50)))
    assert sorted(each.number for each in made) == list(range(1, 51))
    # Many at a time, of several projects, beside single ones and moves.
    batches = [
        [{"create": tasks_pb2.CreateTaskRequest(title="x", project_id=each.id)} for each in order]
        for order in ([project, other] * 3, [other, project] * 3)
    ]
    await asyncio.gather(
        *(
            stage.batches.BatchTasks(
                batch_pb2.BatchTasksRequest(operations=[batch_pb2.BatchOperation(**each) for each in batch]),
                metadata=stage.ada.metadata,
            )
            for batch in batches
        ),
        *(stage.create(project_id=other.id) for _ in range(10)),
        *(edited(stage, each, project_id=other.id) for each in made[:10]),
    )
    connection = await asyncpg.connect(stage.database_url)
    numbers = await connection.fetch("SELECT project_id, number, key FROM tasks JOIN projects p ON p.id = project_id")
    last = dict(await connection.fetch("SELECT name, last_number FROM projects"))
    await connection.close()
    assert len({(row["project_id"], row["number"]) for row in numbers}) == len(numbers) == 72
    assert last == {"Home": 56, "Garden": 26}
    assert await differences(stage) == 0


async def test_a_refused_change_uses_no_number(stage: Stage) -> None:
    project = await a_project(stage)
    with pytest.raises(NotFound):
        await stage.create(project_id=project.id, label_ids=["0190aaaa-0000-7000-8000-000000000000"])
    assert (await stage.create(project_id=project.id)).key == "HOME-1"


async def test_a_move_gives_a_new_key_and_the_old_one_still_finds_the_task(stage: Stage) -> None:
    home, work = await a_project(stage), await a_project(stage, "Work")
    task = await stage.create(project_id=home.id)
    moved = await edited(stage, task, project_id=work.id, title="moved")
    assert (moved.key, moved.etag == (await got(stage, task.id)).etag) == ("WORK-1", True)
    assert (await by_key(stage, "HOME-1")).key == "WORK-1"
    assert (await stage.create(project_id=home.id)).key == "HOME-2"
    undone = await stage.history.UndoTask(history_pb2.UndoTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert undone.task.key == "HOME-3"
    out = await edited(stage, moved, project_id=None)
    assert not out.HasField("key")
    assert {(await by_key(stage, key)).id for key in ("HOME-1", "HOME-3", "WORK-1")} == {task.id}
    assert await differences(stage) == 0
    assert (await by_key(stage, "HOME-3")).id == task.id


async def test_another_key_of_a_project_leaves_the_old_one_behind(stage: Stage) -> None:
    project = await a_project(stage)
    task = await stage.create(project_id=project.id)
    changed = await renamed(stage, project, "CASA")
    assert (changed.key, changed.version) == ("CASA", 2)
    seen = await got(stage, task.id)
    assert (seen.key, seen.version, seen.etag == task.etag) == ("CASA-1", 1, False)
    assert (await by_key(stage, "HOME-1")).id == (await by_key(stage, "CASA-1")).id == task.id
    assert (await a_project(stage)).key == "HOME2"
    with pytest.raises(Conflict):
        await a_project(stage, key="HOME")
    assert (await renamed(stage, project, "HOME")).key == "HOME"
    assert await differences(stage) == 0


async def test_events_carry_the_key(stage: Stage) -> None:
    project = await a_project(stage)
    task = await stage.create(project_id=project.id)
    await edited(stage, task, title="x")
    connection = await asyncpg.connect(stage.database_url)
    rows = await connection.fetch("SELECT data -> 'task' ->> 'key' AS key FROM events WHERE aggregate = 'task'")
    await connection.close()
    assert [row["key"] for row in rows] == ["HOME-1", "HOME-1"]


async def test_filters_and_search_find_a_task_by_the_keys_that_it_has_or_had(stage: Stage) -> None:
    project = await a_project(stage)
    for _ in range(12):
        await stage.create(project_id=project.id)
    await stage.create()
    await renamed(stage, project, "CASA")
    for key in ("HOME-2", "casa-2"):
        assert await filtered(stage, f'key = "{key}"') == ["CASA-2"]
        found = await stage.search.SearchTasks(search_pb2.SearchTasksRequest(q=key), metadata=stage.ada.metadata)
        assert [each.task.key for each in found.results] == ["CASA-2"]
    assert await filtered(stage, 'key = "HOME-1" OR key = "HOME-12"') == ["CASA-12", "CASA-1"]
    assert len(await filtered(stage, 'NOT key = "HOME-1"')) == 12
    assert await filtered(stage, 'key = "nothing"') == []


async def test_others_do_not_find_a_task_by_its_key(stage: Stage) -> None:
    project = await a_project(stage)
    await stage.create(project_id=project.id)
    workspace_id = str(stage.ada.workspace_id)
    for fields in ({}, {"workspace_id": workspace_id}):
        with pytest.raises(NotFound) as caught:
            await by_key(stage, "HOME-1", user=stage.grace, **fields)
        assert caught.value.code == "TASK_NOT_FOUND"
    for wrong in ("HOME", "HOME-0", "-1", "HOME-12345678901"):
        with pytest.raises(InvalidArgument):
            await by_key(stage, wrong)


async def test_a_viewer_reads_keys_and_gives_none(stage: Stage) -> None:
    project = await a_project(stage)
    await stage.create(project_id=project.id)
    workspace_id = str(stage.ada.workspace_id)
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    assert (await by_key(stage, "HOME-1", user=stage.grace, workspace_id=workspace_id)).key == "HOME-1"
    with pytest.raises(PermissionDenied):
        await a_project(stage, user=stage.grace, workspace_id=workspace_id)


async def test_the_trash_keeps_a_key_and_the_end_of_a_project_frees_it(stage: Stage) -> None:
    project, other = await a_project(stage), await a_project(stage, "Other")
    task = await stage.create(project_id=project.id)
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    with pytest.raises(NotFound):
        await by_key(stage, "HOME-1")
    await renamed(stage, project, "CASA")
    back = await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert back.task.key == "CASA-1"
    await edited(stage, task, project_id=other.id)
    await stage.projects.DeleteProject(projects_pb2.DeleteProjectRequest(id=project.id), metadata=stage.ada.metadata)
    with pytest.raises(NotFound):
        await by_key(stage, "HOME-1")
    again = await a_project(stage)
    assert (again.key, (await stage.create(project_id=again.id)).key) == ("HOME", "HOME-1")
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    await stage.trash.DeleteTrashedTask(trash_pb2.DeleteTrashedTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert (await stage.create(project_id=other.id)).key == "OTHER-2"
    assert await differences(stage) == 0


async def test_what_is_older_than_keys_gets_its_own_when_it_is_touched(stage: Stage) -> None:
    project = await a_project(stage)
    old = await stage.create(project_id=project.id)
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute("UPDATE projects SET key = '', last_number = 0")
    await connection.execute("UPDATE tasks SET number = NULL")
    await connection.execute("TRUNCATE project_keys, task_keys")
    await connection.execute("UPDATE events SET data = data #- '{task,key}' #- '{task,number}' #- '{project,key}'")
    assert not (await got(stage, old.id)).HasField("key")
    assert await differences(stage) == 0
    new = await asyncio.gather(*(stage.create(project_id=project.id) for _ in range(3)))
    assert {each.key for each in new} == {"HOME-1", "HOME-2", "HOME-3"}
    assert (await edited(stage, old, title="touched")).key == "HOME-4"
    types = await connection.fetch("SELECT aggregate_version FROM events WHERE type = 'project.updated'")
    await connection.close()
    assert [row["aggregate_version"] for row in types] == [2]
    assert await differences(stage) == 0


async def test_a_copy_hears_of_the_keys_of_tasks_when_that_of_their_project_changes(stage: Stage) -> None:
    project = await a_project(stage)
    task = await stage.create(project_id=project.id)
    first = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    await renamed(stage, project, "CASA")
    answer = await stage.sync.Sync(sync_pb2.SyncRequest(since=first.next_token), metadata=stage.ada.metadata)
    assert [each.data.task.key for each in answer.changes if each.data.HasField("task")] == ["CASA-1"]
    assert task.key == "HOME-1"


async def test_whatever_happens_a_rebuild_gives_the_same_keys(stage: Stage) -> None:
    choose = random.Random(7)  # noqa: S311 (the same every time)
    projects = [await a_project(stage, name) for name in ("Home", "Work")]
    tasks = [await stage.create(project_id=choose.choice(projects).id) for _ in range(5)]
    for step in range(40):
        task, project = choose.choice(tasks), choose.choice(projects)
        match choose.randrange(4):
            case 0:
                tasks.append(await stage.create(project_id=project.id))
            case 1:
                await edited(stage, task, project_id=choose.choice([project.id, None]))
            case 2:
                await renamed(stage, project, f"K{step}")
            case _:
                await stage.history.UndoTask(history_pb2.UndoTaskRequest(id=task.id), metadata=stage.ada.metadata) if (
                    await got(stage, task.id)
                ).version > 1 else None
    assert await differences(stage) == 0


async def test_a_copy_of_a_project_has_a_key_and_numbers_of_its_own(stage: Stage) -> None:
    project = await a_project(stage)
    parent = await stage.create(project_id=project.id)
    await stage.create(project_id=project.id, parent_id=parent.id)
    copied = await stage.copies.CopyProject(
        copies_pb2.CopyProjectRequest(id=project.id, name="Summer house"), metadata=stage.ada.metadata
    )
    assert copied.project.key == "SH"
    assert (await by_key(stage, "SH-2")).parent_id == (await by_key(stage, "SH-1")).id
    assert (await stage.create(project_id=copied.project.id)).key == "SH-3"
    assert (await stage.create(project_id=project.id)).key == "HOME-3"
    assert await differences(stage) == 0


async def test_keys_change_beside_batches_that_change_and_create(stage: Stage) -> None:
    project = await a_project(stage)
    tasks = [await stage.create(project_id=project.id) for _ in range(4)]
    batches = [
        [
            *(
                batch_pb2.BatchOperation(
                    update=tasks_pb2.UpdateTaskRequest(id=each.id, title="x", update_mask=FieldMask(paths=["title"]))
                )
                for each in tasks
            ),
            batch_pb2.BatchOperation(create=tasks_pb2.CreateTaskRequest(title="new", project_id=project.id)),
        ]
        for _ in range(6)
    ]
    await asyncio.gather(
        *(
            stage.batches.BatchTasks(
                batch_pb2.BatchTasksRequest(operations=operations, atomic=True), metadata=stage.ada.metadata
            )
            for operations in batches
        ),
        *(renamed(stage, project, f"K{number}") for number in range(6)),
    )
    assert {(await got(stage, each.id)).number for each in tasks} == {1, 2, 3, 4}
    assert await differences(stage) == 0
