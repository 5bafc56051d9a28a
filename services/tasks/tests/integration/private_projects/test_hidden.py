"""What is in a private project is hidden wherever something of it might show, through gRPC, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from belonging import (
    ADMIN,
    MEMBER,
    PRIVATE,
    VIEWER,
    add,
    change,
    create,
    joined,
    project,
    remove,
    update,
)
from google.protobuf.field_mask_pb2 import FieldMask
from rebuilding import require_rebuilt
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
from rota_chassis.errors import Conflict, Gone, NotFound, PermissionDenied
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from integration.private_projects.conftest import World
    from rota_chassis.testing.services import User
    from rota_chassis.testing.tokens import TokenIssuer


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
    await require_rebuilt(world.stage.database_url)


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
