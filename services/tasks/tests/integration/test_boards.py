"""States, sections, boards and moves through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import boards_pb2, projects_pb2, tasks_pb2
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, PreconditionFailed, Unprocessable
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User

TODO, DOING, DONE = tasks_pb2.TASK_STATUS_TODO, tasks_pb2.TASK_STATUS_IN_PROGRESS, tasks_pb2.TASK_STATUS_DONE


async def a_project(stage: Stage) -> str:
    answer = await stage.projects.CreateProject(
        projects_pb2.CreateProjectRequest(name="House"), metadata=stage.ada.metadata
    )
    return answer.project.id


async def a_state(stage: Stage, project_id: str, name: str, group: Any, **fields: Any) -> boards_pb2.State:
    request = boards_pb2.CreateStateRequest(project_id=project_id, name=name, group=group, **fields)
    return (await stage.boards.CreateState(request, metadata=stage.ada.metadata)).state


async def a_section(stage: Stage, project_id: str, name: str, *, user: User | None = None) -> boards_pb2.Section:
    request = boards_pb2.CreateSectionRequest(project_id=project_id, name=name)
    return (await stage.boards.CreateSection(request, metadata=(user or stage.ada).metadata)).section


async def move(stage: Stage, task: tasks_pb2.Task, **where: Any) -> tasks_pb2.Task:
    request = boards_pb2.MoveTaskRequest(id=task.id, **where)
    return (await stage.boards.MoveTask(request, metadata=stage.ada.metadata)).task


async def transition(stage: Stage, task: tasks_pb2.Task, **where: Any) -> tasks_pb2.Task:
    request = boards_pb2.TransitionTaskRequest(id=task.id, **where)
    return (await stage.boards.TransitionTask(request, metadata=stage.ada.metadata)).task


async def board(stage: Stage, project_id: str, **how: Any) -> list[boards_pb2.BoardColumn]:
    request = boards_pb2.GetBoardRequest(project_id=project_id, **how)
    return list((await stage.boards.GetBoard(request, metadata=stage.ada.metadata)).columns)


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=1)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


async def test_sections_are_made_ordered_renamed_and_deleted(stage: Stage) -> None:
    project_id = await a_project(stage)
    first, second, third = [await a_section(stage, project_id, name) for name in ("one", "two", "three")]
    await stage.boards.UpdateSection(
        boards_pb2.UpdateSectionRequest(
            project_id=project_id,
            id=third.id,
            after_id=first.id,
            name="III",
            update_mask=FieldMask(paths=["after_id", "name"]),
        ),
        metadata=stage.ada.metadata,
    )
    listing = boards_pb2.ListSectionsRequest(project_id=project_id, page_size=2)
    page = await stage.boards.ListSections(listing, metadata=stage.ada.metadata)
    assert [each.name for each in page.sections] == ["one", "III"]
    listing.page_token = page.next_page_token
    page = await stage.boards.ListSections(listing, metadata=stage.ada.metadata)
    assert ([each.name for each in page.sections], page.next_page_token) == (["two"], "")

    task = await stage.create(project_id=project_id, section_id=second.id)
    delete = boards_pb2.DeleteSectionRequest(project_id=project_id, id=second.id)
    with pytest.raises(Conflict) as caught:
        await stage.boards.DeleteSection(delete, metadata=stage.ada.metadata)
    assert caught.value.code == "SECTION_IN_USE"
    await stage.tasks.UpdateTask(
        tasks_pb2.UpdateTaskRequest(id=task.id, update_mask=FieldMask(paths=["section_id"])),
        metadata=stage.ada.metadata,
    )
    delete.if_match = '"v9"'
    with pytest.raises(PreconditionFailed):
        await stage.boards.DeleteSection(delete, metadata=stage.ada.metadata)
    delete.if_match = ""
    await stage.boards.DeleteSection(delete, metadata=stage.ada.metadata)
    with pytest.raises(NotFound):
        await stage.create(project_id=project_id, section_id=second.id)
    assert await differences(stage) == 0


async def test_a_state_or_section_is_made_once_however_often_the_call_is_repeated(stage: Stage) -> None:
    project_id = await a_project(stage)
    state = boards_pb2.CreateStateRequest(project_id=project_id, name="Doing", group=DOING, request_id="one")
    section = boards_pb2.CreateSectionRequest(project_id=project_id, name="later", request_id="two")
    for make, request in ((stage.boards.CreateState, state), (stage.boards.CreateSection, section)):
        answers = await asyncio.gather(*(make(request, metadata=stage.ada.metadata) for _ in range(5)))
        assert all(answer == answers[0] for answer in answers)
        request.name = "another"
        with pytest.raises(Unprocessable) as caught:
            await make(request, metadata=stage.ada.metadata)
        assert caught.value.code == "REQUEST_ID_REUSED"
    same_key = boards_pb2.CreateSectionRequest(project_id=project_id, name="later", request_id="one")
    with pytest.raises(Unprocessable):
        await stage.boards.CreateSection(same_key, metadata=stage.ada.metadata)
    deleted = answers[0].section
    delete = boards_pb2.DeleteSectionRequest(project_id=project_id, id=deleted.id)
    await stage.boards.DeleteSection(delete, metadata=stage.ada.metadata)
    section.name = "later"
    with pytest.raises(NotFound) as gone:
        await stage.boards.CreateSection(section, metadata=stage.ada.metadata)
    assert gone.value.code == "SECTION_NOT_FOUND"


async def test_a_project_of_others_has_no_board(stage: Stage) -> None:
    project_id = await a_project(stage)
    with pytest.raises(NotFound) as caught:
        await a_section(stage, project_id, "mine", user=stage.grace)
    assert caught.value.code == "PROJECT_NOT_FOUND"
    task = await stage.create(project_id=project_id)
    with pytest.raises(NotFound):
        await stage.boards.MoveTask(boards_pb2.MoveTaskRequest(id=task.id), metadata=stage.grace.metadata)


async def test_a_viewer_reads_a_board_and_changes_nothing(stage: Stage) -> None:
    project_id = await a_project(stage)
    task = await stage.create(project_id=project_id)
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    request = boards_pb2.GetBoardRequest(project_id=project_id)
    assert (await stage.boards.GetBoard(request, metadata=stage.grace.metadata)).columns
    with pytest.raises(PermissionDenied):
        await a_section(stage, project_id, "hers", user=stage.grace)
    with pytest.raises(PermissionDenied):
        await stage.boards.MoveTask(boards_pb2.MoveTaskRequest(id=task.id), metadata=stage.grace.metadata)


async def test_guards_hold_on_every_path_and_say_which(stage: Stage) -> None:
    project_id = await a_project(stage)
    done = await a_state(stage, project_id, "Shipped", DONE)
    ways = [
        boards_pb2.Transition(
            to_state_id=done.id,
            guards=[boards_pb2.TRANSITION_GUARD_ALL_SUBTASKS_DONE],
            required_fields=["description"],
        )
    ]
    doing = await a_state(stage, project_id, "Doing", DOING, transitions=ways)
    task = await stage.create(project_id=project_id, state_id=doing.id)
    assert (task.status, task.state_id) == (DOING, doing.id)
    child = await stage.create(parent_id=task.id)
    complete = tasks_pb2.CompleteTaskRequest(id=task.id)
    update = tasks_pb2.UpdateTaskRequest(id=task.id, status=DONE, update_mask=FieldMask(paths=["status"]))
    for attempt in (
        stage.tasks.CompleteTask(complete, metadata=stage.ada.metadata),
        stage.tasks.UpdateTask(update, metadata=stage.ada.metadata),
        transition(stage, task, status=DONE),
        transition(stage, task, state_id=done.id),
        move(stage, task, state_id=done.id),
    ):
        with pytest.raises(Conflict) as caught:
            await attempt
        assert caught.value.code == "TRANSITION_REFUSED"
        assert {each.reason for each in caught.value.violations} == {"all_subtasks_done", "required_fields"}
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=child.id), metadata=stage.ada.metadata)
    update = tasks_pb2.UpdateTaskRequest(id=task.id, description="how", update_mask=FieldMask(paths=["description"]))
    await stage.tasks.UpdateTask(update, metadata=stage.ada.metadata)
    completed = (await stage.tasks.CompleteTask(complete, metadata=stage.ada.metadata)).task
    assert (completed.status, completed.state_id, completed.completed_by) == (DONE, done.id, str(stage.ada.id))
    reopened = (await stage.tasks.ReopenTask(tasks_pb2.ReopenTaskRequest(id=task.id), metadata=stage.ada.metadata)).task
    assert (reopened.status, reopened.state_id, reopened.status_before) == (DOING, doing.id, 0)
    with pytest.raises(Conflict) as caught:
        await transition(stage, task, status=tasks_pb2.TASK_STATUS_BACKLOG)
    assert caught.value.code == "TRANSITION_REFUSED"
    assert await differences(stage) == 0


async def test_without_states_everything_is_allowed_and_reopening_restores(stage: Stage) -> None:
    task = await stage.create()
    task = await transition(stage, task, status=tasks_pb2.TASK_STATUS_BACKLOG)
    task = await transition(stage, task, status=DONE)
    assert task.completed_by == str(stage.ada.id)
    answer = await stage.tasks.ReopenTask(tasks_pb2.ReopenTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert answer.task.status == tasks_pb2.TASK_STATUS_BACKLOG
    with pytest.raises(InvalidArgument):
        await transition(stage, task)
    with pytest.raises(Conflict) as caught:
        await move(stage, task)
    assert caught.value.code == "TASK_WITHOUT_PROJECT"


async def test_a_board_shows_columns_in_manual_order_page_by_page(stage: Stage) -> None:
    project_id = await a_project(stage)
    made = [await stage.create(str(number), project_id=project_id) for number in range(5)]
    await move(stage, made[4], before_id=made[0].id)
    await move(stage, made[0], after_id=made[2].id)
    await move(stage, made[1], status=DOING)
    columns = await board(stage, project_id, page_size=3)
    assert [(column.status, column.count) for column in columns] == [
        (tasks_pb2.TASK_STATUS_BACKLOG, 0), (TODO, 4), (DOING, 1), (DONE, 0), (tasks_pb2.TASK_STATUS_CANCELLED, 0),
    ]  # fmt: skip
    assert [task.title for task in columns[1].tasks] == ["4", "2", "0"]
    (rest,) = await board(stage, project_id, page_size=3, page_token=columns[1].next_page_token)
    assert ([task.title for task in rest.tasks], rest.next_page_token, rest.count) == (["3"], "", 4)
    section = await a_section(stage, project_id, "later")
    await move(stage, made[3], section_id=section.id)
    columns = await board(stage, project_id, group_by=boards_pb2.BOARD_GROUPING_SECTION)
    assert [(column.section.name, column.count) for column in columns] == [("", 4), ("later", 1)]
    with pytest.raises(NotFound) as caught:
        await move(stage, made[0], after_id=(await stage.create()).id)
    assert caught.value.code == "NEIGHBOR_NOT_FOUND"
    assert await differences(stage) == 0


async def test_fifty_movers_at_once_keep_limit_and_order(stage: Stage) -> None:
    project_id = await a_project(stage)
    await a_state(stage, project_id, "Open", TODO)
    narrow = await a_state(stage, project_id, "Narrow", DOING, wip_limit=7)
    made = [await stage.create(str(number), project_id=project_id) for number in range(51)]
    outcomes = await asyncio.gather(
        *(move(stage, task, state_id=narrow.id, after_id=made[0].id) for task in made[1:]), return_exceptions=True
    )
    assert sum(isinstance(each, tasks_pb2.Task) for each in outcomes) == 7
    assert {each.code for each in outcomes if isinstance(each, Conflict)} == {"WIP_LIMIT_REACHED"}
    moved = await asyncio.gather(*(move(stage, task, after_id=made[0].id) for task in made[1:]))
    assert len({task.position for task in moved}) == 50
    columns = await board(stage, project_id, page_size=100)
    assert [column.count for column in columns] == [44, 7]
    assert sorted(task.title for column in columns for task in column.tasks) == sorted(task.title for task in made)
    assert columns[0].tasks[0].id == made[0].id
    assert await differences(stage) == 0


@pytest.mark.parametrize(
    "request_",
    [
        boards_pb2.TransitionTaskRequest(),
        boards_pb2.TransitionTaskRequest(status=DONE, state_id=str(uuid4())),
        boards_pb2.MoveTaskRequest(status=DONE, state_id=str(uuid4())),
        boards_pb2.MoveTaskRequest(before_id=str(uuid4()), after_id=str(uuid4())),
    ],
    ids=["nowhere", "to a status and a state", "moved to both", "before and after"],
)
async def test_a_task_goes_to_one_place(stage: Stage, request_: Any) -> None:
    task = await stage.create()
    request_.id = task.id
    call = getattr(stage.boards, type(request_).__name__.removesuffix("Request"))
    with pytest.raises(InvalidArgument):
        await call(request_, metadata=stage.ada.metadata)
