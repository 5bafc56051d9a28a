"""What reads saved filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_tasks.saved_filters import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.saved_filters.domain import SavedFilter
    from rota_tasks.tasks.dependencies import Tasks


async def get_saved_filter(tasks: Tasks, user: UserPrincipal, *, saved_filter_id: UUID) -> SavedFilter:
    """One saved filter.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    saved = await store.get(tasks.database, user_id=user.user_id, saved_filter_id=saved_filter_id)
    if saved is None:
        await tasks.memberships.refresh(user.user_id)
        saved = await store.get(tasks.database, user_id=user.user_id, saved_filter_id=saved_filter_id)
    if saved is None:
        raise no_such_saved_filter()
    return saved


async def list_saved_filters(
    tasks: Tasks, user: UserPrincipal, *, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[SavedFilter]:
    """The newest saved filters that the user may see (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await tasks.memberships.require(user.user_id, workspace_id)
    return await store.page(tasks.database, user_id=user.user_id, limit=limit, before=before, workspace_id=workspace_id)


def no_such_saved_filter() -> NotFound:
    """The answer for a saved filter that does not exist, or that the caller may not see."""
    return NotFound("There is no such saved filter.", code="SAVED_FILTER_NOT_FOUND")
