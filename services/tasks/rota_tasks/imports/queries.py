"""What reads imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_tasks.imports import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.imports.dependencies import Imports
    from rota_tasks.imports.domain import Import


async def get_import(imports: Imports, user: UserPrincipal, *, import_id: UUID) -> Import:
    """One import of the user.

    Raises:
        NotFound: it does not exist, or is another's.
    """
    job = await store.get(imports.tasks.database, user_id=user.user_id, import_id=import_id)
    if job is None:
        raise no_such_import()
    return job


async def list_imports(
    imports: Imports, user: UserPrincipal, *, workspace_id: UUID | None, limit: int, before: UUID | None
) -> Sequence[Import]:
    """The user's newest imports (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await imports.tasks.memberships.require(user.user_id, workspace_id)
    return await store.page(
        imports.tasks.database, user_id=user.user_id, workspace_id=workspace_id, limit=limit, before=before
    )


def no_such_import() -> NotFound:
    """The answer for an import that does not exist, or that is another's."""
    return NotFound("There is no such import.", code="IMPORT_NOT_FOUND")
