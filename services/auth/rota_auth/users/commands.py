"""Changing profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import PreconditionFailed

from rota_auth.users import domain, store
from rota_auth.users.messages import event_message, invalid_argument
from rota_auth.users.queries import profile_key, user_gone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.cache import Cache
    from rota_chassis.postgres.database import Database

    from rota_auth.users.domain import User


async def update_me(
    database: Database,
    cache: Cache,
    *,
    user_id: UUID,
    changes: Mapping[str, str],
    if_match: str,
    time_zones: Collection[str],
    now: datetime,
) -> User:
    """Change the caller's profile; when nothing differs, nothing is written and nobody is told.

    Raises:
        InvalidArgument: a field cannot have its new value.
        PreconditionFailed: `if_match` names another version (code ETAG_MISMATCH).
        Unauthenticated: there is no such user any more (code USER_GONE).
    """
    async with database.transaction() as work:
        user = await store.lock_user(work, user_id)
        if user is None:
            raise user_gone()
        try:
            events = domain.update(user, changes, time_zones=time_zones, now=now)
        except domain.InvalidField as error:
            raise invalid_argument(error) from error
        if if_match and not domain.etag_matches(user, if_match):
            raise PreconditionFailed(
                f"The profile has changed; it is at version {user.version} now. Read it and try again.",
                code="ETAG_MISMATCH",
                metadata={"etag": user.etag},
            )
        for event in events:
            user = event.user
            await store.save_user(work, user)
            work.append(event_message(event))
    if events:
        await cache.invalidate(profile_key(cache, user.id, user.workspace_id))
    return user
