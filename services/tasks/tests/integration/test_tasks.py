"""Tasks through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rota.tasks.v1 import history_pb2, projects_pb2, tasks_pb2
from rota_chassis.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    RotaError,
    Unauthenticated,
    Unprocessable,
)

if TYPE_CHECKING:
    from conftest import Stage


async def test_a_title_is_enough_and_the_workspace_is_the_callers_own(stage: Stage) -> None:
    task = await stage.create("Water the plants")
    assert task.workspace_id == str(stage.ada.workspace_id)
    assert task.created_by == str(stage.ada.id)
    assert (task.status, task.priority) == (tasks_pb2.TASK_STATUS_TODO, tasks_pb2.TASK_PRIORITY_NONE)
    assert (task.version, task.etag) == (1, '"v1"')
    read = await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert read.task == task


async def test_another_users_task_does_not_exist(stage: Stage) -> None:
    task = await stage.create()
    calls = [
        stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.grace.metadata),
        stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=stage.grace.metadata),
        stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.grace.metadata),
    ]
    for call in calls:
        with pytest.raises(NotFound) as caught:
            await call
        assert caught.value.code == "TASK_NOT_FOUND"


async def test_a_call_without_a_user_is_refused(stage: Stage) -> None:
    with pytest.raises(Unauthenticated):
        await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=str(uuid4())))


async def test_a_viewer_reads_but_does_not_write(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    task = await stage.create()
    await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.grace.metadata)
    with pytest.raises(PermissionDenied) as caught:
        await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=stage.grace.metadata)
    assert caught.value.code == "WORKSPACE_ROLE_REQUIRED"


async def test_a_stranger_creates_nothing_and_learns_nothing_by_trying(stage: Stage) -> None:
    workspace_id = str(stage.ada.workspace_id)
    for assignees in ([], [str(stage.ada.id)], [str(uuid4())]):
        with pytest.raises(NotFound) as caught:
            await stage.create(user=stage.grace, workspace_id=workspace_id, assignee_ids=assignees)
        assert caught.value.code == "WORKSPACE_NOT_FOUND"
    listed = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    assert not listed.tasks


@pytest.mark.parametrize("request_id", ["", "once"], ids=["without a key", "with a key"])
async def test_a_viewer_creates_nothing(stage: Stage, request_id: str) -> None:
    workspace_id = str(stage.ada.workspace_id)
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    with pytest.raises(PermissionDenied) as refused:
        await stage.create(user=stage.grace, workspace_id=workspace_id, request_id=request_id)
    assert refused.value.code == "WORKSPACE_ROLE_REQUIRED"
    listed = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    assert not listed.tasks


async def test_fields_that_break_the_contract_are_named(stage: Stage) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await stage.create("", assignee_ids=["nobody"])
    assert {violation.field for violation in caught.value.violations} == {"title", "assignee_ids[0]"}


async def test_only_members_can_be_assigned(stage: Stage) -> None:
    task = await stage.create()
    request = tasks_pb2.AssignTaskRequest(id=task.id, assignee_id=str(stage.grace.id))
    with pytest.raises(Conflict) as caught:
        await stage.tasks.AssignTask(request, metadata=stage.ada.metadata)
    assert caught.value.code == "ASSIGNEE_NOT_A_MEMBER"


async def test_assigning_twice_changes_nothing_the_second_time(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    task = await stage.create()
    request = tasks_pb2.AssignTaskRequest(id=task.id, assignee_id=str(stage.grace.id))
    first = await stage.tasks.AssignTask(request, metadata=stage.ada.metadata)
    second = await stage.tasks.AssignTask(request, metadata=stage.ada.metadata)
    assert list(first.task.assignee_ids) == [str(stage.grace.id)]
    assert second.task == first.task


async def test_completing_records_who_and_when_and_reopening_clears_it(stage: Stage) -> None:
    task = await stage.create()
    done = await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert done.task.status == tasks_pb2.TASK_STATUS_DONE
    assert done.task.completed_by == str(stage.ada.id)
    assert done.task.HasField("completed_at")
    reopened = await stage.tasks.ReopenTask(tasks_pb2.ReopenTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert reopened.task.status == tasks_pb2.TASK_STATUS_TODO
    assert not reopened.task.HasField("completed_at")
    assert reopened.task.version == task.version + 2


async def test_a_patch_changes_exactly_the_named_fields(stage: Stage) -> None:
    due = Timestamp(seconds=1_900_000_000)
    task = await stage.create(description="All of them", due_at=due, priority=tasks_pb2.TASK_PRIORITY_HIGH)
    answer = await stage.tasks.UpdateTask(
        tasks_pb2.UpdateTaskRequest(id=task.id, title="Feed the cat", update_mask=FieldMask(paths=["title", "due_at"])),
        metadata=stage.ada.metadata,
    )
    assert answer.task.title == "Feed the cat"
    assert not answer.task.HasField("due_at")
    assert answer.task.description == "All of them"
    assert answer.task.priority == tasks_pb2.TASK_PRIORITY_HIGH


async def test_a_title_cannot_be_cleared(stage: Stage) -> None:
    task = await stage.create()
    with pytest.raises(InvalidArgument) as caught:
        await stage.tasks.UpdateTask(
            tasks_pb2.UpdateTaskRequest(id=task.id, update_mask=FieldMask(paths=["title"])),
            metadata=stage.ada.metadata,
        )
    assert [violation.field for violation in caught.value.violations] == ["title"]


async def test_replacing_returns_absent_fields_to_their_defaults(stage: Stage) -> None:
    task = await stage.create(description="All of them", priority=tasks_pb2.TASK_PRIORITY_HIGH)
    answer = await stage.tasks.ReplaceTask(
        tasks_pb2.ReplaceTaskRequest(id=task.id, title="Feed the cat"), metadata=stage.ada.metadata
    )
    assert (answer.task.title, answer.task.description) == ("Feed the cat", "")
    assert answer.task.priority == tasks_pb2.TASK_PRIORITY_NONE


async def test_of_two_writers_with_the_same_entity_tag_one_is_told(stage: Stage) -> None:
    task = await stage.create()

    async def rename(title: str) -> str:
        try:
            await stage.tasks.UpdateTask(
                tasks_pb2.UpdateTaskRequest(
                    id=task.id, title=title, update_mask=FieldMask(paths=["title"]), if_match=task.etag
                ),
                metadata=stage.ada.metadata,
            )
        except PreconditionFailed as error:
            return error.code
        return "ok"

    outcomes = await asyncio.gather(*(rename(f"Title {number}") for number in range(10)))
    assert sorted(outcomes) == ["ETAG_MISMATCH"] * 9 + ["ok"]


@pytest.mark.parametrize("call", ["UpdateTask", "ReplaceTask", "DeleteTask", "CompleteTask", "UndoTask"])
async def test_who_comes_with_a_stale_entity_tag_gets_what_there_is(stage: Stage, call: str) -> None:
    task = await stage.create(description="x" * 31_000)
    rename = tasks_pb2.UpdateTaskRequest(id=task.id, title="Feed the cat", update_mask=FieldMask(paths=["title"]))
    await stage.tasks.UpdateTask(rename, metadata=stage.ada.metadata)
    await stage.tasks.FavouriteTask(tasks_pb2.FavouriteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    now = (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)).task
    stale: dict[str, Any] = {
        "UpdateTask": lambda: stage.tasks.UpdateTask(
            tasks_pb2.UpdateTaskRequest(id=task.id, title="x", update_mask=FieldMask(paths=["title"]), if_match='"v1"'),
            metadata=stage.ada.metadata,
        ),
        "ReplaceTask": lambda: stage.tasks.ReplaceTask(
            tasks_pb2.ReplaceTaskRequest(id=task.id, title="x", if_match='"v1"'), metadata=stage.ada.metadata
        ),
        "DeleteTask": lambda: stage.tasks.DeleteTask(
            tasks_pb2.DeleteTaskRequest(id=task.id, if_match='"v1"'), metadata=stage.ada.metadata
        ),
        "CompleteTask": lambda: stage.tasks.CompleteTask(
            tasks_pb2.CompleteTaskRequest(id=task.id, if_match='"v1"'), metadata=stage.ada.metadata
        ),
        "UndoTask": lambda: stage.history.UndoTask(
            history_pb2.UndoTaskRequest(id=task.id, if_match='"v1"'), metadata=stage.ada.metadata
        ),
    }
    with pytest.raises(PreconditionFailed) as caught:
        await stale[call]()
    assert caught.value.current == now
    assert caught.value.metadata["etag"] == now.etag


async def test_a_task_too_large_for_a_refusal_is_left_out_of_it(stage: Stage) -> None:
    task = await stage.create(description="x" * 50_000)
    with pytest.raises(PreconditionFailed) as caught:
        await stage.tasks.CompleteTask(
            tasks_pb2.CompleteTaskRequest(id=task.id, if_match='"v7"'), metadata=stage.ada.metadata
        )
    assert (caught.value.current, caught.value.metadata["etag"]) == (None, task.etag)


async def test_concurrent_writers_lose_no_update(stage: Stage) -> None:
    members = []
    for number in range(20):
        user = type(stage.ada).__new__(type(stage.ada))
        user.id = uuid4()
        stage.auth.add_member(stage.ada.workspace_id, user.id, version=number + 10)
        members.append(str(user.id))
    task = await stage.create()
    await asyncio.gather(
        *(
            stage.tasks.AssignTask(
                tasks_pb2.AssignTaskRequest(id=task.id, assignee_id=member), metadata=stage.ada.metadata
            )
            for member in members
        )
    )
    read = await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert set(read.task.assignee_ids) == set(members)
    assert read.task.version == 1 + len(members)


async def test_a_repeated_request_returns_the_first_task(stage: Stage) -> None:
    tasks = await asyncio.gather(*(stage.create("Once", request_id="key-1") for _ in range(8)))
    assert len({task.id for task in tasks}) == 1
    with pytest.raises(Unprocessable) as caught:
        await stage.create("Something else", request_id="key-1")
    assert caught.value.code == "REQUEST_ID_REUSED"
    other = await stage.create("Once", user=stage.grace, request_id="key-1")
    assert other.id != tasks[0].id


async def test_a_project_of_another_workspace_does_not_exist(stage: Stage) -> None:
    project = await stage.projects.CreateProject(
        projects_pb2.CreateProjectRequest(name="House"), metadata=stage.grace.metadata
    )
    with pytest.raises(NotFound) as caught:
        await stage.create(project_id=project.project.id)
    assert caught.value.code == "PROJECT_NOT_FOUND"


async def test_pages_show_every_task_once_newest_first_with_new_ones_arriving(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    own = [(await stage.create(f"own {number}", user=stage.grace)).id for number in range(3)]
    shared = [(await stage.create(f"shared {number}")).id for number in range(4)]
    seen: list[str] = []
    token = ""
    while True:
        answer = await stage.tasks.ListTasks(
            tasks_pb2.ListTasksRequest(page_size=2, page_token=token), metadata=stage.grace.metadata
        )
        seen.extend(task.id for task in answer.tasks)
        token = answer.next_page_token
        if not token:
            break
        await stage.create("arrives meanwhile")
    assert seen == sorted(own + shared, reverse=True)


async def test_a_page_token_works_for_its_own_list_only(stage: Stage) -> None:
    for number in range(3):
        await stage.create(f"task {number}")
    page = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(page_size=1), metadata=stage.ada.metadata)
    for request, user in [
        (tasks_pb2.ListTasksRequest(page_token=page.next_page_token, status=1), stage.ada),
        (tasks_pb2.ListTasksRequest(page_token=page.next_page_token), stage.grace),
        (tasks_pb2.ListTasksRequest(page_token="x" + page.next_page_token[1:]), stage.ada),
    ]:
        with pytest.raises(RotaError) as caught:
            await stage.tasks.ListTasks(request, metadata=user.metadata)
        assert caught.value.code == "INVALID_PAGE_TOKEN"


async def test_lists_filter_by_status_project_and_assignee(stage: Stage) -> None:
    project = await stage.projects.CreateProject(
        projects_pb2.CreateProjectRequest(name="House"), metadata=stage.ada.metadata
    )
    mine = await stage.create(assignee_ids=[str(stage.ada.id)], project_id=project.project.id)
    await stage.create()
    for filters in (
        {"assignee_id": str(stage.ada.id)},
        {"project_id": project.project.id, "status": tasks_pb2.TASK_STATUS_TODO},
        {"workspace_id": str(stage.ada.workspace_id), "project_id": project.project.id},
    ):
        answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(**filters), metadata=stage.ada.metadata)
        assert [task.id for task in answer.tasks] == [mine.id], filters
    with pytest.raises(NotFound):
        await stage.tasks.ListTasks(
            tasks_pb2.ListTasksRequest(workspace_id=str(stage.grace.workspace_id)), metadata=stage.ada.metadata
        )
