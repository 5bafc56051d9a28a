"""What changes comments: one function a use case, one transaction each.

Two at once: a comment's row is locked before it changes, and a task cannot be deleted while something is said about
it. A call that is repeated with the same request id returns the comment of the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict, NotFound, PermissionDenied, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import ADMIN, OWNER, WRITERS, require_role

from rota_tasks.comments import domain, queries, store
from rota_tasks.comments.domain import Comment
from rota_tasks.comments.messages import comment_message, event_message
from rota_tasks.preconditions import require_version
from rota_tasks.tasks.queries import get_task, no_such_task
from rota_tasks.tasks.requirements import strangers_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_tasks.comments.domain import CommentEvent
    from rota_tasks.comments.store import HeldTask
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task

MODERATORS = frozenset({OWNER, ADMIN})


async def create_comment(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    task_id: UUID,
    text: str,
    mentioned_ids: tuple[UUID, ...],
    request: Request | None,
) -> Comment:
    """Say something about a task.

    Raises:
        NotFound: the task does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: someone who is mentioned is not a member.
        Unprocessable: the request id was used for another content.
    """
    task = await get_task(tasks, user, task_id=task_id)
    await _require_members(tasks, task, mentioned_ids)
    return await write(
        tasks,
        user,
        workspace_id=task.workspace_id,
        task_id=task_id,
        text=text,
        mentioned_ids=mentioned_ids,
        request=request,
    )


async def write(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    task_id: UUID,
    text: str,
    mentioned_ids: tuple[UUID, ...],
    request: Request | None,
    through_link: bool = False,
) -> Comment:
    """Write down what a user says about a task of the workspace; `through_link`, who need not belong to it.

    Raises:
        NotFound: the task does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Unprocessable: the request id was used for another content.
    """
    now = tasks.clock.now()
    comment = Comment(
        id=uuid7(),
        workspace_id=workspace_id,
        task_id=task_id,
        text=text,
        mentioned_ids=mentioned_ids,
        author_id=user.user_id,
        created_at=now,
        updated_at=now,
    )
    async with tasks.database.transaction() as work:
        made = await store.REQUESTS.record(
            work, request, workspace_id=workspace_id, user_id=user.user_id, makes=comment.id
        )
        if made is not None:
            return await _made_before(work, user, workspace_id, made)
        held = await store.hold_task(work, user_id=user.user_id, workspace_id=workspace_id, task_id=task_id)
        if held is None or (held.role is None and not through_link):
            raise no_such_task()
        if held.role is not None and not through_link:
            require_role(held.role, WRITERS)
        said = domain.CommentCreated(comment, held.title, held.watcher_ids, project_id=held.project_id)
        await _apply(work, [said])
    return comment


async def edit_comment(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, comment_id: UUID, changes: Mapping[str, Any], if_match: str
) -> Comment:
    """Set the text or the mentions of one's own comment.

    Raises:
        NotFound: the comment does not exist on the task, or not for the user.
        PermissionDenied: it is another's, or the user's role does not allow writing.
        Conflict: someone who is newly mentioned is not a member.
        PreconditionFailed: the comment's entity tag is another.
    """
    comment = await queries.get_comment(tasks, user, task_id=task_id, comment_id=comment_id)
    newcomers = [each for each in changes.get("mentioned_ids", ()) if each not in comment.mentioned_ids]
    if newcomers:
        await _require_members(tasks, await get_task(tasks, user, task_id=task_id), newcomers)
    async with tasks.database.transaction() as work:
        comment, held, _role = await _lock(work, user, task_id, comment_id, if_match)
        if comment.author_id != user.user_id:
            raise _not_the_author("change")
        now = tasks.clock.now()
        events = domain.edit(comment, changes, task_title=held.title, project_id=held.project_id, now=now)
        await _apply(work, events)
        return events[-1].comment if events else comment


async def delete_comment(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, comment_id: UUID, if_match: str) -> None:
    """Delete one's own comment, or as an owner or admin any.

    Raises:
        NotFound: the comment does not exist on the task, or not for the user.
        PermissionDenied: it is another's, or the user's role does not allow writing.
        PreconditionFailed: the comment's entity tag is another.
    """
    await queries.get_comment(tasks, user, task_id=task_id, comment_id=comment_id)
    async with tasks.database.transaction() as work:
        comment, held, role = await _lock(work, user, task_id, comment_id, if_match)
        if comment.author_id != user.user_id and role not in MODERATORS:
            raise _not_the_author("delete")
        await _apply(work, domain.delete(comment, project_id=held.project_id, now=tasks.clock.now()))


async def _lock(
    work: UnitOfWork, user: UserPrincipal, task_id: UUID, comment_id: UUID, if_match: str
) -> tuple[Comment, HeldTask, str]:
    found = await store.lock(work, user_id=user.user_id, task_id=task_id, comment_id=comment_id)
    if found is None or found[1].role is None:
        raise queries.no_such_comment()
    comment, held = found
    role = found[1].role
    require_role(role, WRITERS)
    require_version(if_match, version=comment.version, etag=comment.etag, current=lambda: comment_message(comment))
    return comment, held, role


async def _apply(work: UnitOfWork, events: Sequence[CommentEvent]) -> None:
    for event in events:
        work.append(event_message(event))
        await store.project(work, event)


async def _require_members(tasks: Tasks, task: Task, mentioned_ids: Sequence[UUID]) -> None:
    if await strangers_to(tasks, task.workspace_id, task.project_id, mentioned_ids):
        raise Conflict(
            "Only members of the workspace who see the task can be mentioned; invite them first.",
            code="MENTION_NOT_A_MEMBER",
            violations=[Violation("mentioned_ids", "names someone who is not a member", "not_a_member")],
        )


async def _made_before(work: UnitOfWork, user: UserPrincipal, workspace_id: UUID, comment_id: UUID) -> Comment:
    comment = await store.find(work, user_id=user.user_id, workspace_id=workspace_id, comment_id=comment_id)
    if comment is None:
        raise NotFound("The comment that this call made has been deleted.", code="COMMENT_NOT_FOUND")
    return comment


def _not_the_author(verb: str) -> PermissionDenied:
    return PermissionDenied(f"Only its author can {verb} this comment.", code="COMMENT_AUTHOR_REQUIRED")
