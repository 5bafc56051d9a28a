from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest
from rota_auth.keys.signing import SigningKey
from rota_auth.sessions.access import AccessTokens
from rota_auth.sessions.domain import (
    GRACE,
    IDLE,
    LONGEST,
    RefreshToken,
    Session,
    TokenOver,
    TokenReused,
    exchange,
    hash_token,
    issue_refresh_token,
    open_session,
)
from rota_auth.users.domain import SystemRole, User
from rota_chassis.tokens import TokenVerifier

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def a_session() -> Session:
    return open_session(uuid4(), uuid4(), now=NOW)


def a_token(session: Session) -> RefreshToken:
    return issue_refresh_token(session)[1]


def test_a_refresh_token_has_256_random_bits_and_only_its_hash_is_kept() -> None:
    text, kept = issue_refresh_token(a_session())
    assert text.startswith("rt_")
    assert len(text) == len("rt_") + 43
    assert kept.hash == hash_token(text)
    assert text.encode() not in kept.hash


def test_an_exchange_opens_the_next_generation_and_slides_the_expiry() -> None:
    session = a_session()
    later = NOW + timedelta(days=3)
    renewed = exchange(session, a_token(session), now=later)
    assert (renewed.generation, renewed.rotated_at, renewed.expires_at) == (1, later, later + IDLE)


def test_the_expiry_never_slides_past_the_longest_life_of_a_session() -> None:
    session, now = a_session(), NOW
    while now + IDLE / 2 < NOW + LONGEST:
        now += IDLE / 2
        session = exchange(session, a_token(session), now=now)
    assert session.expires_at == NOW + LONGEST
    with pytest.raises(TokenOver):
        exchange(session, a_token(session), now=NOW + LONGEST)


def test_a_client_that_lost_the_answer_may_ask_again_within_the_grace() -> None:
    session = a_session()
    token = a_token(session)
    renewed = exchange(session, token, now=NOW)
    assert exchange(renewed, token, now=NOW + GRACE) == renewed


def test_a_token_that_comes_back_after_the_grace_is_reuse() -> None:
    session = a_session()
    token = a_token(session)
    renewed = exchange(session, token, now=NOW)
    with pytest.raises(TokenReused):
        exchange(renewed, token, now=NOW + GRACE + timedelta(microseconds=1))


def test_a_token_is_reuse_at_once_when_its_successor_was_exchanged() -> None:
    session = a_session()
    token = a_token(session)
    renewed = exchange(session, token, now=NOW)
    twice = exchange(renewed, a_token(renewed), now=NOW)
    with pytest.raises(TokenReused):
        exchange(twice, token, now=NOW)


def test_of_two_tokens_of_one_generation_the_second_is_reuse_once_the_first_is_gone_past() -> None:
    session = exchange(a_session(), RefreshToken(b"", 0, NOW + IDLE), now=NOW)
    first, second = a_token(session), a_token(session)
    renewed = exchange(session, first, now=NOW)
    assert exchange(renewed, second, now=NOW + GRACE) == renewed
    with pytest.raises(TokenReused):
        exchange(renewed, second, now=NOW + 2 * GRACE)


def test_an_idle_session_is_over() -> None:
    session = a_session()
    with pytest.raises(TokenOver):
        exchange(session, a_token(session), now=NOW + IDLE)


async def test_an_access_token_says_what_every_service_verifies() -> None:
    key, now = SigningKey.generate(), datetime.now(UTC)
    user = User(
        id=uuid4(),
        workspace_id=uuid4(),
        email="ada@example.com",
        name="Ada",
        role=SystemRole.ADMIN,
        created_at=now,
        updated_at=now,
    )
    session_id = uuid4()
    token = AccessTokens(key, 900).issue(user, session_id, now=now)

    principal = await TokenVerifier(key, "s" * 32).verify(token)
    assert (principal.user_id, principal.workspace_id) == (user.id, user.workspace_id)
    assert (principal.role, principal.session_id) == ("admin", session_id)
    assert jwt.get_unverified_header(token) == {"typ": "at+jwt", "alg": "ES256", "kid": key.kid}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 900
    assert (claims["iss"], claims["aud"]) == ("rota", "rota")
    assert (
        claims["jti"]
        != jwt.decode(AccessTokens(key, 900).issue(user, session_id, now=now), options={"verify_signature": False})[
            "jti"
        ]
    )
