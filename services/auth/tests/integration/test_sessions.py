"""Registering, logging in and renewing through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import jwt
import pytest
from argon2 import PasswordHasher
from rota.auth.v1 import auth_pb2, users_pb2, workspaces_pb2
from rota_chassis.errors import AlreadyExists, InvalidArgument, RotaError, Unauthenticated

if TYPE_CHECKING:
    from conftest import Auth


async def test_registering_makes_a_user_a_workspace_and_a_session(auth: Auth) -> None:
    email = auth.an_email().upper()
    grant = await auth.register(email, name="  Ada ")
    user, workspace = grant.user, grant.workspace
    assert (user.email, user.name, user.role) == (email, "Ada", users_pb2.SYSTEM_ROLE_USER)
    assert (user.time_zone, user.locale, user.version, user.etag) == ("UTC", "en", 1, '"v1"')
    assert (workspace.id, workspace.owner_id) == (user.workspace_id, user.id)
    assert (workspace.name, workspace.role) == ("Ada's workspace", workspaces_pb2.WORKSPACE_ROLE_OWNER)
    assert (grant.token_type, grant.expires_in) == ("Bearer", 900)
    me = await auth.users.GetMe(users_pb2.GetMeRequest(), metadata=auth.calling(grant))
    assert me.user == user
    assert (await auth.refresh(grant.refresh_token)).user == user


async def test_registering_is_told_to_the_others_in_order(auth: Auth) -> None:
    grant = await auth.register()
    events = await auth.events(grant.workspace.id)
    assert [(row["type"], row["aggregate_version"]) for row in events] == [
        ("user.registered", 1),
        ("workspace.created", 1),
        ("workspace.member_added", 2),
    ]
    assert {row["actor"] for row in events} == {f"user:{grant.user.id}"}
    assert events[0]["data"]["user"]["email"] == grant.user.email
    assert events[1]["data"]["workspace"]["role"] is None
    assert events[2]["data"]["membership"] == {
        "workspace_id": grant.workspace.id,
        "user_id": grant.user.id,
        "role": "owner",
        "version": 2,
    }


async def test_an_e_mail_address_is_taken_whatever_its_case(auth: Auth) -> None:
    email = auth.an_email()
    await auth.register(email)
    with pytest.raises(AlreadyExists) as caught:
        await auth.register(email.upper())
    assert caught.value.code == "EMAIL_TAKEN"


async def test_of_concurrent_registrations_of_one_e_mail_address_one_wins(auth: Auth) -> None:
    email = auth.an_email()
    before = await auth.database.fetchval("SELECT count(*) FROM workspaces")
    answers = await asyncio.gather(*(auth.register(email) for _ in range(6)), return_exceptions=True)
    assert len([answer for answer in answers if isinstance(answer, auth_pb2.RegisterResponse)]) == 1
    assert {answer.code for answer in answers if isinstance(answer, RotaError)} == {"EMAIL_TAKEN"}
    assert await auth.database.fetchval("SELECT count(*) FROM users WHERE email = $1", email) == 1
    assert await auth.database.fetchval("SELECT count(*) FROM workspaces") == before + 1


@pytest.mark.parametrize(
    ("field", "request_fields"),
    [
        ("name", {"name": " \t"}),
        ("email", {"email": "nobody"}),
        ("password", {"password": "short"}),
    ],
)
async def test_a_wrong_registration_names_its_field(auth: Auth, field: str, request_fields: dict[str, str]) -> None:
    fields = {"email": auth.an_email(), "password": "long enough", "name": "Ada", **request_fields}
    with pytest.raises(InvalidArgument) as caught:
        await auth.sessions.Register(auth_pb2.RegisterRequest(**fields))
    assert [violation.field for violation in caught.value.violations] == [field]


async def test_no_password_and_no_token_is_kept_as_it_is(auth: Auth) -> None:
    grant = await auth.register()
    stored = await auth.database.fetchval("SELECT password_hash FROM users WHERE id = $1::uuid", grant.user.id)
    assert stored.startswith("$argon2id$")
    rows = await auth.database.fetch("SELECT * FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id")
    assert grant.refresh_token not in str(rows)


async def test_logging_in_needs_the_right_password_and_tells_nothing_else(auth: Auth) -> None:
    grant = await auth.register()
    again = await auth.login(grant.user.email.upper())
    assert (again.user, again.workspace) == (grant.user, grant.workspace)
    failures = []
    for email in (grant.user.email, auth.an_email()):
        with pytest.raises(Unauthenticated) as caught:
            await auth.login(email, "wrong password")
        failures.append((caught.value.code, caught.value.detail))
    assert failures[0] == failures[1]
    assert failures[0][0] == "INVALID_CREDENTIALS"


async def test_a_hash_with_old_parameters_is_replaced_at_login(auth: Auth) -> None:
    grant = await auth.register()
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("correct horse battery")
    await auth.database.execute("UPDATE users SET password_hash = $1 WHERE id = $2::uuid", weak, grant.user.id)
    await auth.login(grant.user.email)
    better = await auth.database.fetchval("SELECT password_hash FROM users WHERE id = $1::uuid", grant.user.id)
    assert "m=19456,t=3" in better
    await auth.login(grant.user.email)


async def test_a_refresh_continues_the_session_with_new_tokens(auth: Auth) -> None:
    grant = await auth.register()
    renewed = await auth.refresh(grant.refresh_token)
    assert renewed.refresh_token != grant.refresh_token
    first, second = (jwt.decode(each.access_token, options={"verify_signature": False}) for each in (grant, renewed))
    assert (first["sid"], first["sub"]) == (second["sid"], second["sub"])
    assert first["jti"] != second["jti"]


async def test_concurrent_refreshes_of_one_token_all_leave_the_client_logged_in(auth: Auth) -> None:
    grant = await auth.register()
    answers = await asyncio.gather(*(auth.refresh(grant.refresh_token) for _ in range(5)))
    assert len({answer.refresh_token for answer in answers}) == 5
    # Whichever answer the client kept, it goes on with it.
    await auth.refresh(answers[3].refresh_token)


async def test_a_lost_answer_can_be_asked_for_again_for_a_few_seconds(auth: Auth) -> None:
    grant = await auth.register()
    await auth.refresh(grant.refresh_token)
    auth.clock.advance(9)
    again = await auth.refresh(grant.refresh_token)
    await auth.refresh(again.refresh_token)


async def test_reuse_of_a_refresh_token_ends_the_session_with_all_its_tokens(auth: Auth) -> None:
    grant = await auth.register()
    other = await auth.login(grant.user.email)
    renewed = await auth.refresh(grant.refresh_token)
    auth.clock.advance(11)
    for token in (grant.refresh_token, renewed.refresh_token):
        with pytest.raises(Unauthenticated) as caught:
            await auth.refresh(token)
        assert caught.value.code == "INVALID_REFRESH_TOKEN"
    # Another session of the same user is not concerned.
    await auth.refresh(other.refresh_token)


async def test_reuse_is_seen_at_once_when_the_client_has_gone_past_the_token(auth: Auth) -> None:
    grant = await auth.register()
    renewed = await auth.refresh(grant.refresh_token)
    newest = await auth.refresh(renewed.refresh_token)
    for token in (grant.refresh_token, newest.refresh_token):
        with pytest.raises(Unauthenticated):
            await auth.refresh(token)


@pytest.mark.parametrize("token", ["rt_made-up", "x", "\u2603" * 100])
async def test_an_unknown_refresh_token_is_refused(auth: Auth, token: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await auth.refresh(token)
    assert caught.value.code == "INVALID_REFRESH_TOKEN"


async def test_a_session_that_nobody_renews_is_over_after_30_days_and_cleared_at_the_next_login(auth: Auth) -> None:
    grant = await auth.register()
    auth.clock.advance(30 * 86_400)
    with pytest.raises(Unauthenticated):
        await auth.refresh(grant.refresh_token)
    await auth.login(grant.user.email)
    assert await auth.database.fetchval("SELECT count(*) FROM sessions WHERE user_id = $1::uuid", grant.user.id) == 1


async def test_logging_out_ends_this_session_alone_and_may_be_repeated(auth: Auth) -> None:
    grant = await auth.register()
    other = await auth.login(grant.user.email)
    for _ in range(2):
        await auth.sessions.Logout(auth_pb2.LogoutRequest(), metadata=auth.calling(grant))
    with pytest.raises(Unauthenticated):
        await auth.refresh(grant.refresh_token)
    await auth.refresh(other.refresh_token)


async def test_the_published_key_verifies_access_tokens(auth: Auth) -> None:
    grant = await auth.register()
    answer = await auth.sessions.GetJwks(auth_pb2.GetJwksRequest())
    [key] = answer.keys
    assert (key.kty, key.crv, key.alg, key.use) == ("EC", "P-256", "ES256", "sig")
    header = jwt.get_unverified_header(grant.access_token)
    assert (header["kid"], header["typ"]) == (key.kid, "at+jwt")
    parsed = jwt.PyJWK({"kty": key.kty, "crv": key.crv, "x": key.x, "y": key.y, "alg": key.alg})
    claims = jwt.decode(grant.access_token, parsed.key, algorithms=["ES256"], audience="rota", issuer="rota")
    assert (claims["sub"], claims["wid"], claims["role"]) == (grant.user.id, grant.workspace.id, "user")


async def test_sessions_that_are_over_are_purged_with_their_tokens_some_at_a_time(auth: Auth) -> None:
    over = [await auth.register() for _ in range(3)]
    lives = await auth.register()
    await auth.database.execute(
        "UPDATE sessions SET expires_at = now() - interval '1 day' WHERE user_id = ANY($1::uuid[])",
        [grant.user.id for grant in over],
    )
    tokens = await auth.database.fetchval("SELECT count(*) FROM refresh_tokens")
    assert (await auth.sessions.PurgeSessions(auth_pb2.PurgeSessionsRequest(limit=1))).purged == 1
    both = await asyncio.gather(*(auth.sessions.PurgeSessions(auth_pb2.PurgeSessionsRequest()) for _ in range(2)))
    assert sum(answer.purged for answer in both) == 2
    assert await auth.database.fetchval("SELECT count(*) FROM refresh_tokens") == tokens - 3
    await auth.refresh(lives.refresh_token)
    with pytest.raises(RotaError) as caught:
        await auth.sessions.PurgeSessions(auth_pb2.PurgeSessionsRequest(), metadata=auth.calling(lives))
    assert caught.value.code == "SERVICES_ONLY"
