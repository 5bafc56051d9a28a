"""Attachments of copied tasks have the files of the first: one file, counted once, there as long as one has it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from rebuilding import require_rebuilt
from rota.tasks.v1 import (
    copies_pb2,
    copies_pb2_grpc,
    projects_pb2,
    projects_pb2_grpc,
    recurrence_pb2,
    tasks_pb2,
    trash_pb2,
)
from rota_chassis.clock import SystemClock
from rota_chassis.errors import NotFound
from rota_chassis.testing.waiting import eventually
from rota_tasks.attachments import cleanup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Desk, RunDesk

WORDS = b"some words that are kept once"


async def project_with_a_file(desk: Desk) -> tuple[Any, Any, Any]:
    """A project, a task in it, and what is attached to that."""
    projects = projects_pb2_grpc.ProjectServiceStub(desk.channel)
    request = projects_pb2.CreateProjectRequest(name="House")
    project = (await projects.CreateProject(request, metadata=desk.ada.metadata)).project
    task = tasks_pb2.CreateTaskRequest(title="Paint", project_id=project.id)
    made = (await desk.tasks.CreateTask(task, metadata=desk.ada.metadata)).task
    return project, made, await desk.attach(made, WORDS)


async def copy(desk: Desk, project: Any, *include: Any) -> Any:
    """The task of a copy of the project."""
    request = copies_pb2.CopyProjectRequest(id=project.id, include=include)
    stub = copies_pb2_grpc.CopyServiceStub(desk.channel)
    copied = (await stub.CopyProject(request, metadata=desk.ada.metadata)).project
    listed = tasks_pb2.ListTasksRequest(project_id=copied.id)
    (task,) = (await desk.tasks.ListTasks(listed, metadata=desk.ada.metadata)).tasks
    return task


async def clean(desk: Desk) -> int:
    async with desk.cleaning(SystemClock()) as attachments:
        return await cleanup.clean(attachments)


async def delete_for_good(desk: Desk, task: Any) -> None:
    await desk.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=desk.ada.metadata)
    await desk.trash.DeleteTrashedTask(trash_pb2.DeleteTrashedTaskRequest(id=task.id), metadata=desk.ada.metadata)


WITH_FILES = copies_pb2.COPY_PART_ATTACHMENTS


async def test_a_copy_of_a_project_has_its_files_where_that_is_asked_for(desk: Desk) -> None:
    project, _task, first = await project_with_a_file(desk)
    assert await desk.listed(await copy(desk, project)) == []
    (second,) = await desk.listed(await copy(desk, project, WITH_FILES))
    assert (second.stored_with, second.name, second.sha256) == (first.id, first.name, first.sha256)
    assert (await desk.download(second))[1] == WORDS
    assert (await desk.download(second, range="bytes=5-9"))[1] == WORDS[5:10]
    assert await desk.usage(desk.ada) == len(WORDS)
    assert desk.files() == [first.id]
    with pytest.raises(NotFound):
        await desk.download(second, user=desk.grace)
    # A copy of the copy has the same file.
    copied = (await desk.tasks.GetTask(tasks_pb2.GetTaskRequest(id=second.task_id), metadata=desk.ada.metadata)).task
    third = projects_pb2.GetProjectRequest(id=copied.project_id)
    project = (
        await projects_pb2_grpc.ProjectServiceStub(desk.channel).GetProject(third, metadata=desk.ada.metadata)
    ).project
    (last,) = await desk.listed(await copy(desk, project, WITH_FILES))
    assert last.stored_with == first.id


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first first", "copy first"])
@pytest.mark.parametrize("purged", [False, True], ids=["attachment", "task"])
async def test_the_file_goes_with_the_last_that_has_it(desk: Desk, *, order: tuple[int, int], purged: bool) -> None:
    project, task, first = await project_with_a_file(desk)
    other = await copy(desk, project, WITH_FILES)
    (second,) = await desk.listed(other)
    both = [(task, first), (other, second)]

    async def remove(index: int) -> None:
        if purged:
            await delete_for_good(desk, both[index][0])
        else:
            await desk.delete(both[index][1])

    await remove(order[0])
    await clean(desk)
    assert desk.files() == [first.id]
    assert await desk.usage(desk.ada) == len(WORDS)
    assert (await desk.download(both[order[1]][1]))[1] == WORDS
    await remove(order[1])
    assert await desk.usage(desk.ada) == 0
    await clean(desk)
    assert desk.files() == []
    assert await desk.fetch("SELECT id FROM attachment_objects") == []


async def test_any_number_at_once_count_right(desk: Desk) -> None:
    project, _task, first = await project_with_a_file(desk)
    copies = await asyncio.gather(*(copy(desk, project, WITH_FILES) for _ in range(5)))
    (row,) = await desk.fetch("SELECT uses, bytes FROM attachment_objects")
    assert tuple(row) == (6, len(WORDS))
    attached = [first, *[(await desk.listed(each))[0] for each in copies]]
    await asyncio.gather(*(desk.delete(each) for each in attached))
    assert await desk.usage(desk.ada) == 0
    await clean(desk)
    assert desk.files() == []


async def test_copying_while_the_first_is_deleted_leaves_a_file_or_no_attachment(desk: Desk) -> None:
    project, _task, first = await project_with_a_file(desk)
    copied, _ = await asyncio.gather(copy(desk, project, WITH_FILES), desk.delete(first))
    left = await desk.listed(copied)
    await clean(desk)
    assert desk.files() == [first.id for _ in left]
    assert await desk.usage(desk.ada) == len(WORDS) * len(left)


async def test_rebuilding_finds_whose_file_it_is(desk: Desk) -> None:
    project, _task, _first = await project_with_a_file(desk)
    await copy(desk, project, WITH_FILES)
    await require_rebuilt(desk.database_url)


async def recurring(desk: Desk, **carried: bool) -> Any:
    rule = recurrence_pb2.Recurrence(rrule="FREQ=DAILY", time_zone="UTC", carried_over=carried)
    request = tasks_pb2.CreateTaskRequest(title="Report", recurrence=rule)
    return (await desk.tasks.CreateTask(request, metadata=desk.ada.metadata)).task


@pytest.fixture
async def scheduled(run_desk: RunDesk, scheduler_address: str) -> AsyncIterator[Desk]:
    """A desk beside a scheduler."""
    async with run_desk(scheduler_address=scheduler_address) as desk:
        yield desk


@pytest.mark.parametrize("wanted", [True, False])
async def test_the_next_occurrence_has_the_files_of_the_one_before_where_that_is_chosen(
    *, scheduled: Desk, wanted: bool
) -> None:
    first = await recurring(scheduled, attachments=wanted)
    part = tasks_pb2.CreateTaskRequest(title="Numbers", parent_id=first.id)
    numbers = (await scheduled.tasks.CreateTask(part, metadata=scheduled.ada.metadata)).task
    form, sheet = await scheduled.attach(first, WORDS), await scheduled.attach(numbers, b"1, 2, 3", name="sheet.csv")
    await scheduled.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=first.id), metadata=scheduled.ada.metadata)

    async def following() -> Any:
        listed = await scheduled.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=scheduled.ada.metadata)
        by_parent = {each.parent_id: each for each in listed.tasks}
        second = next((each for each in listed.tasks if each.series_id and each.id != first.id), None)
        return second and (second, by_parent[second.id])

    second, part = await eventually(following)
    found = [each.stored_with for task in (second, part) for each in await scheduled.listed(task)]
    assert found == ([form.id, sheet.id] if wanted else [])
    assert await scheduled.usage(scheduled.ada) == len(WORDS) + len(b"1, 2, 3")
    if wanted:
        await delete_for_good(scheduled, first)
        await clean(scheduled)
        assert scheduled.files() == sorted([form.id, sheet.id])
        (attachment,) = await scheduled.listed(second)
        assert (await scheduled.download(attachment))[1] == WORDS
