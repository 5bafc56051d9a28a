"""What searches tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_tasks.search import languages, store
from rota_tasks.tasks.queries import looked_up

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.identity import UserPrincipal

    from rota_tasks.search.domain import Place
    from rota_tasks.tasks.dependencies import Tasks


async def search_tasks(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    words: str,
    where: Filter | None,
    workspace_id: UUID | None,
    limit: int,
    after: Place | None,
) -> Sequence[store.Found]:
    """The tasks that match best (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await tasks.memberships.require(user.user_id, workspace_id)
    own = {"own_workspace_id": user.workspace_id, "user_id": user.user_id}
    setting = await languages.setting_of(tasks.database, **own, workspace_id=workspace_id)
    if setting.missing:
        # They have joined a workspace since.
        async with tasks.database.transaction() as work:
            await languages.begin(work, **own)
    return await store.page(
        tasks.database,
        user_id=user.user_id,
        words=words,
        configuration=setting.in_effect,
        where=await looked_up(tasks, user, where, workspace_id),
        workspace_id=workspace_id,
        limit=limit,
        after=after,
    )


async def get_search_settings(tasks: Tasks, user: UserPrincipal) -> languages.Setting:
    """What the user has set, and whether all their workspaces are prepared for it."""
    return await languages.setting_of(tasks.database, own_workspace_id=user.workspace_id, user_id=user.user_id)
