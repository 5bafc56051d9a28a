"""rota.tasks.v1.CommentService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import comments_pb2, comments_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_tasks.comments import commands, queries
from rota_tasks.comments.messages import comment_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.tasks.dependencies import Tasks


class CommentServicer(comments_pb2_grpc.CommentServiceServicer):
    """Serves comments."""

    def __init__(self, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def CreateComment(
        self, request: comments_pb2.CreateCommentRequest, _context: Any
    ) -> comments_pb2.CreateCommentResponse:
        comment = await commands.create_comment(
            self._tasks,
            require_user(),
            task_id=UUID(request.task_id),
            text=request.text,
            mentioned_ids=_mentioned(request),
            request=request_of(request),
        )
        return comments_pb2.CreateCommentResponse(comment=comment_message(comment))

    async def GetComment(
        self, request: comments_pb2.GetCommentRequest, _context: Any
    ) -> comments_pb2.GetCommentResponse:
        comment = await queries.get_comment(self._tasks, require_user(), **_place(request))
        return comments_pb2.GetCommentResponse(comment=comment_message(comment))

    async def ListComments(
        self, request: comments_pb2.ListCommentsRequest, _context: Any
    ) -> comments_pb2.ListCommentsResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["comments", user.user_id, request.task_id])
        found = await queries.list_comments(
            self._tasks, user, task_id=UUID(request.task_id), limit=page.limit, after=page.cursor(UUID)
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return comments_pb2.ListCommentsResponse(comments=map(comment_message, rows), next_page_token=token)

    async def UpdateComment(
        self, request: comments_pb2.UpdateCommentRequest, _context: Any
    ) -> comments_pb2.UpdateCommentResponse:
        values: dict[str, Any] = {"text": request.text, "mentioned_ids": _mentioned(request)}
        changes = {field: value for field, value in values.items() if field in request.update_mask.paths}
        if changes.get("text") == "":
            raise InvalidArgument(
                "A comment always has a text.",
                code="INVALID_FIELDS",
                violations=[Violation("text", "cannot be cleared", "required")],
            )
        comment = await commands.edit_comment(
            self._tasks, require_user(), **_place(request), changes=changes, if_match=request.if_match
        )
        return comments_pb2.UpdateCommentResponse(comment=comment_message(comment))

    async def DeleteComment(
        self, request: comments_pb2.DeleteCommentRequest, _context: Any
    ) -> comments_pb2.DeleteCommentResponse:
        await commands.delete_comment(self._tasks, require_user(), **_place(request), if_match=request.if_match)
        return comments_pb2.DeleteCommentResponse()

    async def ListCommentVersions(
        self, request: comments_pb2.ListCommentVersionsRequest, _context: Any
    ) -> comments_pb2.ListCommentVersionsResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["comment versions", user.user_id, request.id])
        found = await queries.list_comment_versions(
            self._tasks, user, **_place(request), limit=page.limit, after=page.cursor(int) or 0
        )
        rows, token = page.cut(found, lambda last: [last.version])
        return comments_pb2.ListCommentVersionsResponse(versions=map(comment_message, rows), next_page_token=token)


def _place(request: Any) -> dict[str, UUID]:
    return {"task_id": UUID(request.task_id), "comment_id": UUID(request.id)}


def _mentioned(request: Any) -> tuple[UUID, ...]:
    return tuple(UUID(each) for each in request.mentioned_ids)
