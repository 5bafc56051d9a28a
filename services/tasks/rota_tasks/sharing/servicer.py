"""rota.tasks.v1.SharingService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import sharing_pb2, sharing_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_tasks.comments.messages import comment_message
from rota_tasks.projects.messages import project_message
from rota_tasks.sharing import commands, queries
from rota_tasks.sharing.domain import Access
from rota_tasks.sharing.messages import ACCESS_NUMBERS, ACCESSES, link_message
from rota_tasks.tasks.domain import Task
from rota_tasks.tasks.messages import task_message
from rota_tasks.timestamps import moment, timestamp

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.tasks.dependencies import Tasks


class SharingServicer(sharing_pb2_grpc.SharingServiceServicer):
    """Serves links and what they show."""

    def __init__(self, projects: Projects, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._projects = projects
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def CreateShareLink(
        self, request: sharing_pb2.CreateShareLinkRequest, _context: Any
    ) -> sharing_pb2.CreateShareLinkResponse:
        link, token = await commands.create_link(
            self._tasks,
            self._projects,
            require_user(),
            task_id=UUID(request.task_id) if request.HasField("task_id") else None,
            project_id=UUID(request.project_id) if request.HasField("project_id") else None,
            access=ACCESSES.get(request.access, Access.READ),
            expires_at=moment(request, "expires_at"),
        )
        return sharing_pb2.CreateShareLinkResponse(link=link_message(link), token=token)

    async def ListShareLinks(
        self, request: sharing_pb2.ListShareLinksRequest, _context: Any
    ) -> sharing_pb2.ListShareLinksResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id
        page = self._page_tokens.page(request, bound_to=["share links", user.user_id, workspace_id])
        found = await queries.list_links(
            self._tasks, user, workspace_id=workspace_id, limit=page.limit, before=page.cursor(UUID)
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return sharing_pb2.ListShareLinksResponse(links=map(link_message, rows), next_page_token=token)

    async def GetShareLink(
        self, request: sharing_pb2.GetShareLinkRequest, _context: Any
    ) -> sharing_pb2.GetShareLinkResponse:
        link = await queries.get_link(self._tasks, require_user(), link_id=UUID(request.id))
        return sharing_pb2.GetShareLinkResponse(link=link_message(link))

    async def DeleteShareLink(
        self, request: sharing_pb2.DeleteShareLinkRequest, _context: Any
    ) -> sharing_pb2.DeleteShareLinkResponse:
        await commands.revoke_link(self._tasks, require_user(), link_id=UUID(request.id))
        return sharing_pb2.DeleteShareLinkResponse()

    async def GetShared(self, request: sharing_pb2.GetSharedRequest, _context: Any) -> sharing_pb2.GetSharedResponse:
        link = await queries.open_link(self._tasks, request.token)
        shown = await queries.get_shared(self._tasks, link)
        answer = sharing_pb2.GetSharedResponse(
            access=ACCESS_NUMBERS[link.access], expires_at=timestamp(link.expires_at)
        )
        if isinstance(shown, Task):
            answer.task.CopyFrom(task_message(shown))
        else:
            answer.project.CopyFrom(project_message(shown))
        return answer

    async def ListSharedTasks(
        self, request: sharing_pb2.ListSharedTasksRequest, _context: Any
    ) -> sharing_pb2.ListSharedTasksResponse:
        link = await queries.open_link(self._tasks, request.token)
        page = self._page_tokens.page(request, bound_to=["shared tasks", link.id])
        found = await queries.list_shared_tasks(self._tasks, link, limit=page.limit, after=page.cursor(UUID))
        rows, token = page.cut(found, lambda last: [last.id])
        return sharing_pb2.ListSharedTasksResponse(tasks=map(task_message, rows), next_page_token=token)

    async def ListSharedComments(
        self, request: sharing_pb2.ListSharedCommentsRequest, _context: Any
    ) -> sharing_pb2.ListSharedCommentsResponse:
        link = await queries.open_link(self._tasks, request.token)
        page = self._page_tokens.page(request, bound_to=["shared comments", link.id, request.task_id])
        found = await queries.list_shared_comments(
            self._tasks, link, task_id=UUID(request.task_id), limit=page.limit, after=page.cursor(UUID)
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return sharing_pb2.ListSharedCommentsResponse(comments=map(comment_message, rows), next_page_token=token)

    async def CreateSharedComment(
        self, request: sharing_pb2.CreateSharedCommentRequest, _context: Any
    ) -> sharing_pb2.CreateSharedCommentResponse:
        link = await queries.open_link(self._tasks, request.token)
        comment = await commands.comment_through(
            self._tasks,
            require_user(),
            link,
            task_id=UUID(request.task_id),
            text=request.text,
            request=request_of(request),
        )
        return sharing_pb2.CreateSharedCommentResponse(comment=comment_message(comment))
