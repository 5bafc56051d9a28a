"""Starting the service: the first administrator, the signing key, other services' keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from rota.auth.v1 import auth_pb2, users_pb2
from rota_chassis.errors import Unauthenticated
from rota_chassis.testing.services import User

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from conftest import Auth, Start
    from rota_chassis.testing.tokens import TokenIssuer

ADMIN = {"admin_email": "admin@example.com", "admin_password": "correct horse battery"}


async def test_the_first_administrator_is_made_once_by_however_many_replicas(
    start: Start, make_database: Callable[[str], Awaitable[str]]
) -> None:
    url = await make_database("auth")
    both_run = asyncio.Barrier(2)

    async def replica() -> auth_pb2.LoginResponse:
        async with start(url, **ADMIN) as auth:
            await both_run.wait()
            return await auth.login("admin@example.com")

    first, second = await asyncio.gather(replica(), replica())
    assert first.user == second.user
    assert first.user.role == users_pb2.SYSTEM_ROLE_ADMIN
    async with start(url, **{**ADMIN, "admin_password": "another password"}) as auth:
        assert (await auth.login("admin@example.com")).user == first.user
        registered = (await auth.events(first.workspace.id))[0]
    assert (registered["type"], registered["data"]["user"]["role"]) == ("user.registered", "admin")


async def test_replicas_with_one_key_believe_each_others_access_tokens(
    start: Start, make_database: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    url, path = await make_database("auth"), tmp_path / "signing.pem"
    async with start(url, signing_key_file=path) as one, start(url, signing_key_file=path) as other:
        grant = await one.register()
        me = await other.users.GetMe(users_pb2.GetMeRequest(), metadata=one.calling(grant))
        assert me.user == grant.user


async def test_a_token_signed_with_another_key_is_refused(auth: Auth, issuer: TokenIssuer) -> None:
    with pytest.raises(Unauthenticated):
        await auth.users.GetMe(users_pb2.GetMeRequest(), metadata=User(issuer).metadata)
