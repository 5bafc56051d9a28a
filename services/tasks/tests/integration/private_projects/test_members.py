"""Who belongs to a project and what they may do in it, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import nats
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.events.v1 import events_pb2
from rota.tasks.v1 import (
    boards_pb2,
    comments_pb2,
    copies_pb2,
    exports_pb2,
    history_pb2,
    imports_pb2,
    project_members_pb2,
    projects_pb2,
    sharing_pb2,
    sync_pb2,
    tasks_pb2,
    templates_pb2,
    trash_pb2,
)
from rota_chassis.errors import AlreadyExists, Conflict, Gone, NotFound, PermissionDenied, Unprocessable
from rota_chassis.events.log import NewEvent
from rota_chassis.events.relay import Relay
from rota_chassis.postgres.database import Database
from rota_chassis.testing.services import User
from rota_chassis.testing.waiting import eventually
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from integration.private_projects.conftest import World
    from rota_chassis.testing.tokens import TokenIssuer

ADMIN, MEMBER, VIEWER = (
    project_members_pb2.ProjectRole.Value(f"PROJECT_ROLE_{name}") for name in ("ADMIN", "MEMBER", "VIEWER")
)
PRIVATE, WORKSPACE = projects_pb2.PROJECT_VISIBILITY_PRIVATE, projects_pb2.PROJECT_VISIBILITY_WORKSPACE


def joined(world: World, issuer: TokenIssuer, role: str = "member") -> User:
    """Somebody else in the workspace."""
    user = User(issuer)
    user.workspace_id = world.owner.workspace_id
    user.token = issuer.access_token(user.id, user.workspace_id, session_id=user.session_id)
    world.stage.auth.add_member(user.workspace_id, user.id, role=role)
    return user


async def add(world: World, by: User, user_id: Any, role: int = MEMBER, **fields: Any) -> Any:
    request = project_members_pb2.AddProjectMemberRequest(
        **{"project_id": world.project, "user_id": str(user_id), "role": role} | fields
    )
    return (await world.call("ProjectMemberService.AddProjectMember", request, by)).member


async def remove(world: World, by: User, user_id: Any) -> None:
    request = project_members_pb2.RemoveProjectMemberRequest(project_id=world.project, user_id=str(user_id))
    await world.call("ProjectMemberService.RemoveProjectMember", request, by)


async def change(world: World, by: User, user_id: Any, role: int) -> Any:
    request = project_members_pb2.UpdateProjectMemberRequest(
        project_id=world.project, user_id=str(user_id), role=role, update_mask=FieldMask(paths=["role"])
    )
    return (await world.call("ProjectMemberService.UpdateProjectMember", request, by)).member


async def members(world: World, by: User, size: int = 50) -> list[tuple[str, int]]:
    found, token = [], ""
    while True:
        request = project_members_pb2.ListProjectMembersRequest(
            project_id=world.project, page_size=size, page_token=token
        )
        answer = await world.call("ProjectMemberService.ListProjectMembers", request, by)
        found += [(each.user_id, each.role) for each in answer.members]
        token = answer.next_page_token
        if not token:
            return found


async def see(world: World, by: User, visibility: int) -> Any:
    request = projects_pb2.UpdateProjectRequest(
        id=world.project, visibility=visibility, update_mask=FieldMask(paths=["visibility"])
    )
    return (await world.call("ProjectService.UpdateProject", request, by)).project


async def project(world: World, by: User) -> Any:
    return (await world.call("ProjectService.GetProject", projects_pb2.GetProjectRequest(id=world.project), by)).project


async def create(world: World, by: User, **fields: Any) -> Any:
    request = tasks_pb2.CreateTaskRequest(**{"title": "Sign"} | fields)
    return (await world.call("TaskService.CreateTask", request, by)).task


async def update(world: World, by: User, task_id: str, **fields: Any) -> Any:
    request = tasks_pb2.UpdateTaskRequest(id=task_id, update_mask=FieldMask(paths=list(fields)), **fields)
    return (await world.call("TaskService.UpdateTask", request, by)).task


async def fetch(world: World, query: str, *arguments: Any) -> list[Any]:
    connection = await asyncpg.connect(world.stage.database_url)
    try:
        return await connection.fetch(query, *arguments)
    finally:
        await connection.close()


async def require_rebuilt(world: World) -> None:
    database = await Database.connect(world.stage.database_url, size=2)
    try:
        assert (await rebuild(database)).differences == 0
    finally:
        await database.close()


async def test_members_come_and_go_with_events_that_hold_all_of_them(world: World) -> None:
    before = await project(world, world.keeper)
    added = await add(world, world.keeper, world.outsider.id, VIEWER)
    assert (added.role, added.added_by) == (VIEWER, str(world.keeper.id))
    assert (await change(world, world.keeper, world.outsider.id, ADMIN)).role == ADMIN
    assert await members(world, world.outsider, size=1) == sorted(
        [(str(world.keeper.id), ADMIN), (str(world.viewer.id), VIEWER), (str(world.outsider.id), ADMIN)]
    )
    # An admin of the project may do all of it, and everyone may leave.
    await remove(world, world.outsider, world.viewer.id)
    await remove(world, world.outsider, world.outsider.id)
    with pytest.raises(NotFound) as gone:
        await project(world, world.outsider)
    assert gone.value.code == "PROJECT_NOT_FOUND"
    after = await project(world, world.keeper)
    assert after.version == before.version + 4
    rows = await fetch(
        world,
        "SELECT type, data FROM events WHERE aggregate_id = $1 AND aggregate_version > $2 ORDER BY position",
        after.id,
        before.version,
    )
    assert [row["type"] for row in rows] == [
        "project.member_added",
        "project.member_changed",
        "project.member_removed",
        "project.member_removed",
    ]
    assert str(world.outsider.id) in rows[1]["data"]
    assert str(world.viewer.id) in rows[1]["data"]
    assert str(world.viewer.id) not in rows[3]["data"]
    await require_rebuilt(world)


async def test_adding_a_member_is_refused_with_reasons(world: World, issuer: TokenIssuer) -> None:
    stranger = User(issuer)
    for by, user_id, kind, code in (
        (world.keeper, world.viewer.id, AlreadyExists, "PROJECT_MEMBER_EXISTS"),
        (world.keeper, stranger.id, Conflict, "NOT_IN_WORKSPACE"),
        (world.viewer, world.outsider.id, PermissionDenied, "WORKSPACE_ROLE_REQUIRED"),
        (world.outsider, world.outsider.id, NotFound, "PROJECT_NOT_FOUND"),
        (stranger, stranger.id, NotFound, "PROJECT_NOT_FOUND"),
    ):
        with pytest.raises(kind) as refused:
            await add(world, by, user_id)
        assert refused.value.code == code
    for call in (change(world, world.keeper, uuid4(), ADMIN), remove(world, world.keeper, uuid4())):
        with pytest.raises(NotFound) as missing:
            await call
        assert missing.value.code == "PROJECT_MEMBER_NOT_FOUND"
    # Who sees the project without being named has nothing to leave.
    with pytest.raises(NotFound):
        await remove(world, world.owner, world.owner.id)


async def test_an_addition_that_is_repeated_gives_the_first_answer(world: World) -> None:
    first, second = [await add(world, world.keeper, world.outsider.id, request_id="once") for _ in range(2)]
    assert first == second
    with pytest.raises(Unprocessable):
        await add(world, world.keeper, world.outsider.id, VIEWER, request_id="once")


async def test_of_two_who_add_one_user_at_once_one_does(world: World) -> None:
    by = [world.keeper, world.owner] * 4
    outcomes = await asyncio.gather(*(add(world, each, world.outsider.id) for each in by), return_exceptions=True)
    assert sum(not isinstance(each, Exception) for each in outcomes) == 1
    assert {each.code for each in outcomes if isinstance(each, Exception)} == {"PROJECT_MEMBER_EXISTS"}
    assert len([each for each, _role in await members(world, world.keeper) if each == str(world.outsider.id)]) == 1


async def test_the_role_in_a_project_counts_whatever_the_one_in_the_workspace(
    world: World, issuer: TokenIssuer
) -> None:
    guest = joined(world, issuer, role="viewer")
    await add(world, world.keeper, guest.id, MEMBER)
    made = await create(world, guest, project_id=world.project)
    assert (await update(world, guest, made.id, title="Signed")).title == "Signed"
    for refused in (create(world, guest), update(world, guest, made.id, project_id=None)):
        with pytest.raises(PermissionDenied):
            await refused
    # A member of the workspace who is named to read reads, also when everybody else may write.
    await see(world, world.keeper, WORKSPACE)
    with pytest.raises(PermissionDenied):
        await create(world, world.viewer, project_id=world.project)
    assert (await create(world, world.outsider, project_id=world.project)).project_id == world.project
    assert (await create(world, world.owner, project_id=world.project)).project_id == world.project


async def test_only_an_admin_says_who_sees_a_project(world: World) -> None:
    await add(world, world.keeper, world.outsider.id, MEMBER)
    with pytest.raises(PermissionDenied):
        await see(world, world.outsider, WORKSPACE)
    opened = await see(world, world.owner, WORKSPACE)
    assert opened.visibility == WORKSPACE
    assert (await see(world, world.keeper, PRIVATE)).version == opened.version + 1


async def test_a_task_is_moved_by_who_may_write_in_both_projects(world: World, issuer: TokenIssuer) -> None:
    for by in (world.viewer, world.outsider):
        with pytest.raises((PermissionDenied, NotFound)):
            await update(world, by, world.outside, project_id=world.project)
    moved = await update(world, world.keeper, world.outside, project_id=world.project)
    assert moved.project_id == world.project
    guest = joined(world, issuer, role="viewer")
    await add(world, world.keeper, guest.id, MEMBER)
    with pytest.raises(PermissionDenied):
        await update(world, guest, world.outside, project_id=None)


async def test_only_who_sees_a_task_is_assigned_or_mentioned(world: World) -> None:
    outsider, viewer = str(world.outsider.id), str(world.viewer.id)
    for refused in (
        update(world, world.keeper, world.task, assignee_ids=[outsider]),
        create(world, world.keeper, project_id=world.project, assignee_ids=[outsider]),
        world.do("TaskService.AssignTask", tasks_pb2.AssignTaskRequest(id=world.task, assignee_id=outsider)),
    ):
        with pytest.raises(Conflict) as stranger:
            await refused
        assert stranger.value.code == "ASSIGNEE_NOT_A_MEMBER"
    said = comments_pb2.CreateCommentRequest(task_id=world.task, text="You", mentioned_ids=[outsider])
    with pytest.raises(Conflict) as unseen:
        await world.do("CommentService.CreateComment", said)
    assert unseen.value.code == "MENTION_NOT_A_MEMBER"
    assigned = await update(world, world.keeper, world.task, assignee_ids=[viewer])
    assert list(assigned.assignee_ids) == [viewer]
    # Who loses sight of it stays what they were.
    await remove(world, world.keeper, world.viewer.id)
    seen = await world.do("TaskService.GetTask", tasks_pb2.GetTaskRequest(id=world.task))
    assert list(seen.task.assignee_ids) == [viewer]


async def test_what_is_hidden_is_not_counted_either(world: World) -> None:
    async def outside(by: User) -> Any:
        return (await world.call("TaskService.GetTask", tasks_pb2.GetTaskRequest(id=world.outside), by)).task

    shown, hidden = await outside(world.keeper), await outside(world.outsider)
    assert (shown.subtasks.total, shown.is_blocked, list(shown.blocked_by)) == (1, True, [world.task])
    assert (hidden.subtasks.total, hidden.is_blocked, list(hidden.blocked_by)) == (0, False, [])
    listed = await world.call(
        "TaskService.ListTasks", tasks_pb2.ListTasksRequest(filter="is_blocked = true"), world.outsider
    )
    assert list(listed.tasks) == []


async def test_a_guard_holds_for_what_its_user_does_not_see(world: World) -> None:
    made = await world.do("ProjectService.CreateProject", projects_pb2.CreateProjectRequest(name="Open"))
    states = []
    for name, group in (("To do", tasks_pb2.TASK_STATUS_TODO), ("Done", tasks_pb2.TASK_STATUS_DONE)):
        request = boards_pb2.CreateStateRequest(project_id=made.project.id, name=name, group=group)
        states.append((await world.do("BoardService.CreateState", request)).state.id)
    way = boards_pb2.Transition(to_state_id=states[1], guards=[boards_pb2.TRANSITION_GUARD_NOT_BLOCKED])
    request = boards_pb2.UpdateStateRequest(
        project_id=made.project.id, id=states[0], transitions=[way], update_mask=FieldMask(paths=["transitions"])
    )
    await world.do("BoardService.UpdateState", request)
    await update(world, world.keeper, world.outside, project_id=made.project.id)
    complete = tasks_pb2.CompleteTaskRequest(id=world.outside)
    with pytest.raises(Conflict) as refused:
        await world.call("TaskService.CompleteTask", complete, world.outsider)
    assert refused.value.code == "TRANSITION_REFUSED"


async def test_who_leaves_the_workspace_is_named_in_none_of_its_projects(world: World) -> None:
    left = world.stage.auth.add_member(world.owner.workspace_id, world.viewer.id, version=7)
    database = await Database.connect(world.stage.database_url, size=2)
    client = await nats.connect(world.stage.nats_url)
    try:
        connection = await asyncpg.connect(world.stage.database_url)
        async with database.transaction() as work:
            work.append(
                NewEvent(
                    world.owner.workspace_id,
                    world.owner.workspace_id,
                    7,
                    events_pb2.WorkspaceMemberRemoved(membership=left),
                )
            )
        await Relay(database, client, "/rota/auth").publish_batch(connection)
        await connection.close()

        async def is_out() -> bool:
            return str(world.viewer.id) not in dict(await members(world, world.keeper))

        await eventually(is_out)
    finally:
        await client.close()
        await database.close()
    await require_rebuilt(world)


async def test_making_a_project_private_and_creating_in_it_take_turns(world: World) -> None:
    await see(world, world.keeper, WORKSPACE)
    outcomes = await asyncio.gather(
        *(create(world, world.outsider, project_id=world.project) for _ in range(6)),
        see(world, world.keeper, PRIVATE),
        *(create(world, world.outsider, project_id=world.project) for _ in range(6)),
        return_exceptions=True,
    )
    assert all(not isinstance(each, Exception) or each.code == "PROJECT_NOT_FOUND" for each in outcomes)
    assert not isinstance(outcomes[6], Exception)
    with pytest.raises(NotFound):
        await create(world, world.outsider, project_id=world.project)
    listed = await world.call("TaskService.ListTasks", tasks_pb2.ListTasksRequest(), world.outsider)
    assert [each.id for each in listed.tasks] == [world.outside]
    await require_rebuilt(world)


async def test_a_member_who_is_taken_out_while_they_write_has_written_before_or_not_at_all(world: World) -> None:
    await add(world, world.keeper, world.outsider.id)
    outcomes = await asyncio.gather(
        *(update(world, world.outsider, world.task, title=f"Title {number}") for number in range(4)),
        remove(world, world.keeper, world.outsider.id),
        *(update(world, world.outsider, world.task, title=f"Title {number}") for number in range(4, 8)),
        return_exceptions=True,
    )
    assert all(not isinstance(each, Exception) or each.code == "TASK_NOT_FOUND" for each in outcomes)
    with pytest.raises(NotFound):
        await update(world, world.outsider, world.task, title="Too late")


async def test_what_is_left_of_a_private_project_stays_hidden(world: World) -> None:
    await project(world, world.owner)
    whole = tasks_pb2.OCCURRENCE_SCOPE_ALL
    await world.do("TaskService.DeleteTask", tasks_pb2.DeleteTaskRequest(id=world.recurring, scope=whole))

    async def is_imported() -> bool:
        asked = imports_pb2.GetImportRequest(id=world.ids["import"])
        return (await world.do("ImportService.GetImport", asked)).job.status == imports_pb2.IMPORT_STATUS_DONE

    await eventually(is_imported)
    imported = await world.do("TaskService.ListTasks", tasks_pb2.ListTasksRequest(project_id=world.project))
    for each in imported.tasks:
        await world.do("TaskService.DeleteTask", tasks_pb2.DeleteTaskRequest(id=each.id))
    await world.do("ProjectService.DeleteProject", projects_pb2.DeleteProjectRequest(id=world.project))
    trash = await world.call("TrashService.ListTrash", trash_pb2.ListTrashRequest(), world.outsider)
    assert list(trash.tasks) == []
    for method, request in (
        ("TrashService.RestoreTask", trash_pb2.RestoreTaskRequest(id=world.task)),
        ("TemplateService.GetTemplate", templates_pb2.GetTemplateRequest(id=world.template)),
        ("HistoryService.ListTaskHistory", history_pb2.ListTaskHistoryRequest(id=world.task)),
    ):
        with pytest.raises(NotFound):
            await world.call(method, request, world.outsider)
    kept = await world.call("TrashService.ListTrash", trash_pb2.ListTrashRequest(), world.owner)
    assert world.task in [each.task.id for each in kept.tasks]
    await require_rebuilt(world)


async def test_a_link_shows_what_its_maker_sees(world: World) -> None:
    await add(world, world.keeper, world.outsider.id)
    request = sharing_pb2.CreateShareLinkRequest(task_id=world.outside)
    link = await world.call("SharingService.CreateShareLink", request, world.outsider)
    shared = sharing_pb2.ListSharedTasksRequest(token=link.token)
    shown = await world.call("SharingService.ListSharedTasks", shared, world.owner)
    assert {each.id for each in shown.tasks} == {world.outside, world.below_outside}
    request = sharing_pb2.CreateShareLinkRequest(project_id=world.project)
    whole = await world.call("SharingService.CreateShareLink", request, world.outsider)
    await remove(world, world.keeper, world.outsider.id)
    shown = await world.call("SharingService.ListSharedTasks", shared, world.owner)
    assert {each.id for each in shown.tasks} == {world.outside}
    with pytest.raises(NotFound):
        await world.call("SharingService.GetShared", sharing_pb2.GetSharedRequest(token=whole.token), world.owner)


async def test_an_export_of_a_workspace_holds_what_its_user_sees(world: World) -> None:
    async def content(by: User) -> str:
        request = exports_pb2.CreateExportRequest(format=exports_pb2.EXPORT_FORMAT_ROTA)
        job = (await world.call("ExportService.CreateExport", request, by)).job

        async def is_done() -> bool:
            found = await world.call("ExportService.GetExport", exports_pb2.GetExportRequest(id=job.id), by)
            return bool(found.job.status == exports_pb2.EXPORT_STATUS_DONE)

        await eventually(is_done)
        asked = exports_pb2.GetExportContentRequest(id=job.id)
        return str((await world.call("ExportService.GetExportContent", asked, by)).content)

    hidden, shown = await content(world.outsider), await content(world.viewer)
    assert world.marker not in hidden
    assert world.task not in hidden
    assert world.outside in hidden
    assert world.marker in shown


async def test_copies_and_what_is_made_of_templates_of_a_private_project_are_private(world: World) -> None:
    copied = await world.call("CopyService.CopyProject", copies_pb2.CopyProjectRequest(id=world.project), world.owner)
    made = await world.call(
        "TemplateService.InstantiateTemplate",
        templates_pb2.InstantiateTemplateRequest(id=world.template),
        world.viewer,
    )
    for each, admin in ((copied.project, world.owner), (made.project, world.viewer)):
        assert each.visibility == PRIVATE
        request = project_members_pb2.ListProjectMembersRequest(project_id=each.id)
        answer = await world.call("ProjectMemberService.ListProjectMembers", request, admin)
        assert [(member.user_id, member.role) for member in answer.members] == [(str(admin.id), ADMIN)]
        with pytest.raises(NotFound):
            await world.call("ProjectService.GetProject", projects_pb2.GetProjectRequest(id=each.id), world.outsider)


async def test_a_past_in_a_private_project_is_not_told_when_a_task_has_left_it(world: World) -> None:
    changed = await update(world, world.keeper, world.task, project_id=None, title="Plain", description="", category="")
    history = await world.call(
        "HistoryService.ListTaskHistory", history_pb2.ListTaskHistoryRequest(id=world.task), world.outsider
    )
    assert history.entries
    assert world.marker not in str(history)
    past = tasks_pb2.GetTaskRequest(id=world.task)
    past.as_of.FromNanoseconds(changed.created_at.ToNanoseconds() + 1_000_000)
    with pytest.raises(NotFound):
        await world.call("TaskService.GetTask", past, world.outsider)
    assert world.marker in str(await world.call("TaskService.GetTask", past, world.keeper))


async def test_a_copy_begins_anew_when_other_projects_are_hidden_and_only_then(world: World) -> None:
    async def sync(token: str = "") -> Any:
        request = sync_pb2.SyncRequest(since=token)
        return await world.call("SyncService.Sync", request, world.outsider)

    token = (await sync()).next_token
    # A private project that is new is no loss to who never saw it, and what happens in it is not told.
    await world.do("ProjectService.CreateProject", projects_pb2.CreateProjectRequest(name="New", visibility=PRIVATE))
    await create(world, world.keeper, project_id=world.project)
    page = await sync(token)
    assert list(page.changes) == []
    await add(world, world.keeper, world.outsider.id)
    with pytest.raises(Gone) as wider:
        await sync(page.next_token)
    assert wider.value.code == "SYNC_TOKEN_GONE"
    page = await sync()
    assert world.task in [each.id for each in page.changes]
    await change(world, world.keeper, world.outsider.id, VIEWER)
    page = await sync(page.next_token)
    await remove(world, world.keeper, world.outsider.id)
    with pytest.raises(Gone):
        await sync(page.next_token)


async def test_a_task_that_goes_into_a_private_project_ends_in_copies_with_what_belongs_to_it(world: World) -> None:
    said = comments_pb2.CreateCommentRequest(task_id=world.outside, text="Dry again")
    comment = (await world.do("CommentService.CreateComment", said)).comment
    page = await world.call("SyncService.Sync", sync_pb2.SyncRequest(), world.outsider)
    await update(world, world.keeper, world.outside, project_id=world.project)
    page = await world.call("SyncService.Sync", sync_pb2.SyncRequest(since=page.next_token), world.outsider)
    assert {(each.id, each.deleted) for each in page.changes} >= {(world.outside, True), (comment.id, True)}
    await update(world, world.keeper, world.outside, project_id=None)
    page = await world.call("SyncService.Sync", sync_pb2.SyncRequest(since=page.next_token), world.outsider)
    assert {(each.id, each.deleted) for each in page.changes} >= {(world.outside, False), (comment.id, False)}
