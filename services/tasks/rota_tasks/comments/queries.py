"""What reads comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_tasks.comments import store
from rota_tasks.tasks.queries import get_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.comments.domain import Comment
    from rota_tasks.tasks.dependencies import Tasks


async def get_comment(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, comment_id: UUID) -> Comment:
    """One comment.

    Raises:
        NotFound: it does not exist on the task, or not for the user.
    """
    for attempt in range(2):
        comment = await store.get(tasks.database, user_id=user.user_id, task_id=task_id, comment_id=comment_id)
        if comment is not None:
            return comment
        if not attempt:
            await tasks.memberships.refresh(user.user_id)
    raise no_such_comment()


async def list_comments(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, limit: int, after: UUID | None
) -> Sequence[Comment]:
    """The oldest comments on a task (see `store.page`).

    Raises:
        NotFound: the task does not exist, or not for the user.
    """
    task = await get_task(tasks, user, task_id=task_id)
    return await store.page(
        tasks.database,
        user_id=user.user_id,
        workspace_id=task.workspace_id,
        task_id=task_id,
        limit=limit,
        after=after,
    )


async def list_comment_versions(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, comment_id: UUID, limit: int, after: int
) -> Sequence[Comment]:
    """A comment as it was after each change (see `store.versions`).

    Raises:
        NotFound: it does not exist on the task, or not for the user.
    """
    comment = await get_comment(tasks, user, task_id=task_id, comment_id=comment_id)
    return await store.versions(tasks.database, comment, limit=limit, after=after)


def no_such_comment() -> NotFound:
    """The answer for a comment that does not exist, or that the caller may not see."""
    return NotFound("There is no such comment on this task.", code="COMMENT_NOT_FOUND")
