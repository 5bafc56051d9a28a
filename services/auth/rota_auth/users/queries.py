"""Reading profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.auth.v1 import users_pb2
from rota_chassis import codec
from rota_chassis.errors import Unauthenticated

from rota_auth.users import store
from rota_auth.users.messages import user_message

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.cache import Cache
    from rota_chassis.postgres.work import Reader

    from rota_auth.users.domain import User

PROFILE_KEPT_S = 300


async def get_me(reader: Reader, cache: Cache, *, user_id: UUID, workspace_id: UUID) -> users_pb2.User:
    """The caller's profile, from the cache when it is there.

    Raises:
        Unauthenticated: there is no such user any more (code USER_GONE).
    """
    encode, decode = codec.encoder(users_pb2.User), codec.decoder(users_pb2.User)

    async def load() -> dict[str, Any] | None:
        user = await store.find_user(reader, user_id)
        profile: dict[str, Any] | None = encode(user_message(user)) if user else None
        return profile

    profile = await cache.get_or_load(profile_key(cache, user_id, workspace_id), load, ttl_s=PROFILE_KEPT_S)
    if profile is None:
        raise user_gone()
    return decode(profile)


async def batch_get_users(reader: Reader, user_ids: Sequence[UUID]) -> list[User]:
    """Those of the users that exist."""
    return await store.find_users(reader, user_ids)


def profile_key(cache: Cache, user_id: UUID, workspace_id: UUID) -> str:
    """Where the cache keeps a profile."""
    return cache.key(workspace_id, "profile", user_id)


def user_gone() -> Unauthenticated:
    """The error for a token that outlived its user."""
    return Unauthenticated("The user of this access token no longer exists.", code="USER_GONE")
