"""What reads labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_tasks.labels import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.labels.dependencies import Labels
    from rota_tasks.labels.domain import Label


async def get_label(labels: Labels, user: UserPrincipal, *, label_id: UUID) -> Label:
    """One label.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    label = await store.get(labels.database, user_id=user.user_id, label_id=label_id)
    if label is None:
        await labels.memberships.refresh(user.user_id)
        label = await store.get(labels.database, user_id=user.user_id, label_id=label_id)
    if label is None:
        raise no_such_label()
    return label


async def list_labels(
    labels: Labels, user: UserPrincipal, *, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Label]:
    """The newest labels that the user may see (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await labels.memberships.require(user.user_id, workspace_id)
    return await store.page(
        labels.database, user_id=user.user_id, limit=limit, before=before, workspace_id=workspace_id
    )


def no_such_label() -> NotFound:
    """The answer for a label that does not exist, or that the caller may not see."""
    return NotFound("There is no such label.", code="LABEL_NOT_FOUND")
