"""What reads notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_notifications.notifications import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.database import Database

    from rota_notifications.notifications.domain import Notification


async def list_notifications(
    database: Database, user: UserPrincipal, *, limit: int, before: UUID | None, unread: bool
) -> tuple[Sequence[Notification], int]:
    """The user's newest notifications (see `store.page`), and how many of all are unread."""
    found = await store.page(database, user_id=user.user_id, limit=limit, before=before, unread=unread)
    return found, await store.count_unread(database, user_id=user.user_id)
