"""What changes reactions: one function a use case, one transaction each.

Two at once: the row of the comment is locked first, so that a user reacts once with an emoji, and not to what is being
deleted. Doing either twice changes nothing, so a call may be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, InvalidArgument, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_tasks.comments.queries import no_such_comment
from rota_tasks.reactions import domain, queries, store
from rota_tasks.reactions.domain import MAX_EMOJI, Reaction
from rota_tasks.reactions.messages import event_message

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.reactions.domain import ReactionEvent
    from rota_tasks.tasks.dependencies import Tasks


async def create_reaction(tasks: Tasks, user: UserPrincipal, *, comment_id: UUID, emoji: str) -> Reaction:
    """React to a comment; the reaction that is there, when the user has done so before.

    Raises:
        InvalidArgument: it is not one emoji.
        NotFound: the comment does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: the comment has as many different emoji as it may.
    """
    try:
        emoji = domain.qualified(emoji)
    except ValueError as error:
        raise InvalidArgument(
            "A reaction is one emoji.",
            code="INVALID_FIELDS",
            violations=[Violation("emoji", "is not one emoji", "emoji")],
        ) from error
    await queries.workspace_of(tasks, user, comment_id)
    async with tasks.database.transaction() as work:
        workspace_id, task_id, project_id = await _lock(work, user, comment_id)
        among = {"workspace_id": workspace_id, "comment_id": comment_id}
        found = await store.get(work, **among, emoji=emoji, user_id=user.user_id)
        if found is not None:
            return found
        if len(await store.emoji_on(work, **among) | {emoji}) > MAX_EMOJI:
            raise Conflict(
                f"A comment has at most {MAX_EMOJI} different emoji; use one of them.", code="TOO_MANY_REACTIONS"
            )
        reaction = Reaction(
            id=uuid7(),
            workspace_id=workspace_id,
            task_id=task_id,
            comment_id=comment_id,
            emoji=emoji,
            user_id=user.user_id,
            created_at=tasks.clock.now(),
        )
        await _apply(work, domain.add(reaction, project_id=project_id))
    return reaction


async def delete_reaction(tasks: Tasks, user: UserPrincipal, *, comment_id: UUID, emoji: str) -> None:
    """Take back one's own reaction; nothing when there is none.

    Raises:
        NotFound: the comment does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    await queries.workspace_of(tasks, user, comment_id)
    async with tasks.database.transaction() as work:
        workspace_id, _task_id, project_id = await _lock(work, user, comment_id)
        try:
            emoji = domain.qualified(emoji)
        except ValueError:
            # Nobody can have reacted with it.
            return
        found = await store.get(
            work, workspace_id=workspace_id, comment_id=comment_id, emoji=emoji, user_id=user.user_id
        )
        if found is not None:
            await _apply(work, domain.remove(found, now=tasks.clock.now(), project_id=project_id))


async def _lock(work: UnitOfWork, user: UserPrincipal, comment_id: UUID) -> tuple[UUID, UUID, UUID | None]:
    found = await store.lock_comment(work, user_id=user.user_id, comment_id=comment_id)
    if found is None:
        raise no_such_comment()
    workspace_id, task_id, project_id, role = found
    require_role(role, WRITERS)
    return workspace_id, task_id, project_id


async def _apply(work: UnitOfWork, event: ReactionEvent) -> None:
    work.append(event_message(event))
    await store.project(work, event)
