"""Links that show tasks and projects to people outside, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rota.tasks.v1 import projects_pb2, sharing_pb2, tasks_pb2, trash_pb2
from rota_chassis.errors import Conflict, NotFound, PermissionDenied, Unprocessable
from rota_chassis.testing.services import User

if TYPE_CHECKING:
    from conftest import Stage


def after(**away: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC) + timedelta(**away))
    return stamp


async def share(stage: Stage, *, user: User | None = None, **fields: Any) -> sharing_pb2.CreateShareLinkResponse:
    request = sharing_pb2.CreateShareLinkRequest(**fields)
    return await stage.sharing.CreateShareLink(request, metadata=(user or stage.ada).metadata)


async def opened(stage: Stage, token: str) -> sharing_pb2.GetSharedResponse:
    return await stage.sharing.GetShared(sharing_pb2.GetSharedRequest(token=token))


async def say(stage: Stage, token: str, task: tasks_pb2.Task, text: str = "Nice", **fields: Any) -> Any:
    request = sharing_pb2.CreateSharedCommentRequest(token=token, task_id=task.id, text=text, **fields)
    return (await stage.sharing.CreateSharedComment(request, metadata=stage.grace.metadata)).comment


async def test_whoever_has_the_token_of_a_task_sees_it_and_what_is_below_and_nothing_else(stage: Stage) -> None:
    whole = await stage.create("whole")
    parts = [await stage.create(f"part {number}", parent_id=whole.id) for number in range(2)]
    below = await stage.create("below", parent_id=parts[0].id)
    other = await stage.create("other")
    made = await share(stage, task_id=whole.id)
    assert (made.link.access, len(made.token)) == (sharing_pb2.SHARE_ACCESS_READ, 43)
    assert (await opened(stage, made.token)).task.title == "whole"
    titles, token = [], ""
    while True:
        asked = sharing_pb2.ListSharedTasksRequest(token=made.token, page_size=3, page_token=token)
        page = await stage.sharing.ListSharedTasks(asked)
        titles += [each.title for each in page.tasks]
        token = page.next_page_token
        if not token:
            break
    assert titles == ["whole", "part 0", "part 1", "below"]
    for task, seen in ((below, True), (other, False)):
        asked = sharing_pb2.ListSharedCommentsRequest(token=made.token, task_id=task.id)
        if seen:
            assert not (await stage.sharing.ListSharedComments(asked)).comments
        else:
            with pytest.raises(NotFound):
                await stage.sharing.ListSharedComments(asked)


async def test_a_link_to_a_task_in_the_trash_shows_nothing_until_it_is_restored(stage: Stage) -> None:
    task = await stage.create()
    made = await share(stage, task_id=task.id)
    asked = sharing_pb2.ListSharedTasksRequest(token=made.token)
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    with pytest.raises(NotFound):
        await opened(stage, made.token)
    with pytest.raises(NotFound):
        await stage.sharing.ListSharedTasks(asked)
    await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert [each.id for each in (await stage.sharing.ListSharedTasks(asked)).tasks] == [task.id]


async def test_a_link_to_a_project_shows_its_tasks_until_the_project_is_gone(stage: Stage) -> None:
    request = projects_pb2.CreateProjectRequest(name="Home")
    project = (await stage.projects.CreateProject(request, metadata=stage.ada.metadata)).project
    await stage.create("in it", project_id=project.id)
    await stage.create("elsewhere")
    made = await share(stage, project_id=project.id)
    assert (await opened(stage, made.token)).project.name == "Home"
    page = await stage.sharing.ListSharedTasks(sharing_pb2.ListSharedTasksRequest(token=made.token))
    assert [each.title for each in page.tasks] == ["in it"]


async def test_people_comment_in_their_own_name_where_the_link_lets_them(stage: Stage) -> None:
    task, other = await stage.create(), await stage.create()
    made = await share(stage, task_id=task.id, access="SHARE_ACCESS_COMMENT")
    first = await say(stage, made.token, task, request_id="once")
    assert first.author_id == str(stage.grace.id)
    assert await say(stage, made.token, task, request_id="once") == first
    with pytest.raises(Unprocessable):
        await say(stage, made.token, task, "Something else", request_id="once")
    asked = sharing_pb2.ListSharedCommentsRequest(token=made.token, task_id=task.id)
    assert list((await stage.sharing.ListSharedComments(asked)).comments) == [first]
    with pytest.raises(NotFound):
        await say(stage, made.token, other)
    reading = await share(stage, task_id=task.id)
    with pytest.raises(PermissionDenied) as caught:
        await say(stage, reading.token, task)
    assert caught.value.code == "SHARE_LINK_READ_ONLY"


async def test_a_link_that_is_revoked_expired_or_made_up_lets_nobody_in(stage: Stage) -> None:
    task = await stage.create()
    made, brief = await share(stage, task_id=task.id), await share(stage, task_id=task.id, expires_at=after(days=1))
    asked = sharing_pb2.DeleteShareLinkRequest(id=made.link.id)
    with pytest.raises(NotFound):
        await stage.sharing.DeleteShareLink(asked, metadata=stage.grace.metadata)
    await stage.sharing.DeleteShareLink(asked, metadata=stage.ada.metadata)
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute("UPDATE share_links SET expires_at = now() - interval '1 second'")
    kept = await connection.fetchval("SELECT string_agg(share_links::text, ' ') FROM share_links")
    await connection.close()
    assert brief.token not in kept
    for token in (made.token, brief.token, "x" * 43):
        with pytest.raises(NotFound) as caught:
            await opened(stage, token)
        assert caught.value.code == "SHARE_LINK_NOT_FOUND"
    with pytest.raises(Conflict):
        await share(stage, task_id=task.id, expires_at=after(seconds=-1))


async def test_of_two_who_revoke_a_link_at_once_one_finds_none(stage: Stage) -> None:
    made = await share(stage, task_id=(await stage.create()).id)
    asked = sharing_pb2.DeleteShareLinkRequest(id=made.link.id)
    calls = [stage.sharing.DeleteShareLink(asked, metadata=stage.ada.metadata) for _ in range(2)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(isinstance(each, NotFound) for each in answers) == [False, True]


async def test_members_see_their_own_links_moderators_all_and_viewers_make_none(stage: Stage) -> None:
    member, viewer = User(stage.issuer), User(stage.issuer)
    for user, role in ((member, "member"), (viewer, "viewer")):
        stage.auth.add_user(user)
        stage.auth.add_member(stage.ada.workspace_id, user.id, role=role)
    task = await stage.create()
    mine, theirs = await share(stage, task_id=task.id), await share(stage, user=member, task_id=task.id)
    asked = sharing_pb2.ListShareLinksRequest(workspace_id=str(stage.ada.workspace_id))
    listed = {
        user: [each.id for each in (await stage.sharing.ListShareLinks(asked, metadata=user.metadata)).links]
        for user in (stage.ada, member, viewer)
    }
    assert listed == {stage.ada: [theirs.link.id, mine.link.id], member: [theirs.link.id], viewer: []}
    with pytest.raises(PermissionDenied):
        await share(stage, user=viewer, task_id=task.id)
    with pytest.raises(NotFound):
        await share(stage, user=stage.grace, task_id=task.id)
    with pytest.raises(NotFound):
        await stage.sharing.GetShareLink(sharing_pb2.GetShareLinkRequest(id=mine.link.id), metadata=member.metadata)


async def test_an_administrator_of_the_installation_lists_the_tasks_of_all(stage: Stage) -> None:
    admin = User(stage.issuer, role="admin")
    for number in range(3):
        await stage.create(f"Ada's {number}")
        await stage.create(f"Grace's {number}", user=stage.grace)
    found, token = [], ""
    while True:
        asked = tasks_pb2.ListAllTasksRequest(page_size=2, page_token=token)
        page = await stage.tasks.ListAllTasks(asked, metadata=admin.metadata)
        found += page.tasks
        token = page.next_page_token
        if not token:
            break
    assert len({each.id for each in found}) == len(found) == 6
    assert [(each.workspace_id, each.id) for each in found] == sorted((each.workspace_id, each.id) for each in found)
    asked = tasks_pb2.ListAllTasksRequest(workspace_id=str(stage.grace.workspace_id))
    page = await stage.tasks.ListAllTasks(asked, metadata=admin.metadata)
    assert [each.title for each in page.tasks] == ["Grace's 0", "Grace's 1", "Grace's 2"]
    with pytest.raises(PermissionDenied):
        await stage.tasks.ListAllTasks(asked, metadata=stage.grace.metadata)
