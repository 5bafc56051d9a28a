"""What reads reactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_tasks.comments.queries import no_such_comment
from rota_tasks.reactions import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.reactions.domain import Reaction
    from rota_tasks.tasks.dependencies import Tasks


async def workspace_of(tasks: Tasks, user: UserPrincipal, comment_id: UUID) -> UUID:
    """The workspace of a comment.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    for attempt in range(2):
        workspace_id = await store.workspace_of(tasks.database, user_id=user.user_id, comment_id=comment_id)
        if workspace_id is not None:
            return workspace_id
        if not attempt:
            await tasks.memberships.refresh(user.user_id)
    raise no_such_comment()


async def list_reactions(
    tasks: Tasks, user: UserPrincipal, *, comment_id: UUID, limit: int, after: UUID | None
) -> Sequence[Reaction]:
    """The oldest reactions to a comment (see `store.page`).

    Raises:
        NotFound: the comment does not exist, or not for the user.
    """
    workspace_id = await workspace_of(tasks, user, comment_id)
    return await store.page(tasks.database, workspace_id=workspace_id, comment_id=comment_id, limit=limit, after=after)
