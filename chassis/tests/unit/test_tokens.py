from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rota_chassis.errors import Unauthenticated, Unavailable
from rota_chassis.identity import Principal
from rota_chassis.ids import uuid7
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.tokens import KID
from rota_chassis.tokens import (
    ACCESS_TYPE,
    LEEWAY_S,
    SERVICE_TOKEN_LIFETIME_S,
    SERVICE_TYPE,
    ServiceTokens,
    TokenVerifier,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from rota_chassis.testing.tokens import TokenIssuer

SECRET = "a secret of at least thirty-two bytes"
USER, WORKSPACE, SESSION = uuid7(), uuid7(), uuid7()


@pytest.fixture
def verifier(issuer: TokenIssuer) -> TokenVerifier:
    return TokenVerifier(issuer.keys, SECRET)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {"iss": "rota", "aud": "rota", "sub": str(USER), "wid": str(WORKSPACE), "role": "user", "sid": str(SESSION)}
    return {name: value for name, value in {**usual, "iat": now, "exp": now + 60, **changes}.items() if value != "-"}


def unsigned(header: dict[str, Any], payload: dict[str, Any], signature: str = "") -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, payload)]
    return ".".join([*parts, signature])


async def refused(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(token)
    return caught.value.code


async def test_an_access_token_says_who_the_user_is(verifier: TokenVerifier, issuer: TokenIssuer) -> None:
    token = issuer.access_token(USER, WORKSPACE, role="admin", session_id=SESSION)
    principal = Principal(user_id=USER, workspace_id=WORKSPACE, role="admin", session_id=SESSION)
    assert await verifier.verify(token) == await verifier.verify(token) == principal


async def test_a_service_token_says_which_service_calls(verifier: TokenVerifier) -> None:
    assert await verifier.verify(ServiceTokens("tasks", SECRET).own()) == Principal(service="tasks")


async def test_a_service_that_acts_for_a_user_is_both(verifier: TokenVerifier) -> None:
    token = ServiceTokens("scheduler", SECRET).acting_for(USER, WORKSPACE)
    assert await verifier.verify(token) == Principal(user_id=USER, workspace_id=WORKSPACE, service="scheduler")


async def test_a_service_says_how_many_rules_led_to_its_call(verifier: TokenVerifier) -> None:
    token = ServiceTokens("scheduler", SECRET).acting_for(USER, WORKSPACE, causation_depth=2)
    assert (await verifier.verify(token)).causation_depth == 2


def test_a_services_own_token_is_used_for_half_its_life() -> None:
    clock = ManualClock()
    mine = ServiceTokens("tasks", SECRET, clock=clock)
    first = mine.own()
    assert mine.own() == first
    clock.advance(SERVICE_TOKEN_LIFETIME_S / 2 + 1)
    assert mine.own() != first


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
@pytest.mark.parametrize("kind", [ACCESS_TYPE, SERVICE_TYPE])
async def test_an_unsigned_token_is_refused(verifier: TokenVerifier, algorithm: str, kind: str) -> None:
    token = unsigned({"alg": algorithm, "typ": kind, "kid": KID}, claims())
    assert await refused(verifier, token) == "INVALID_TOKEN"


@pytest.mark.parametrize("form", [serialization.Encoding.PEM, serialization.Encoding.DER])
async def test_a_public_key_is_no_shared_secret(
    verifier: TokenVerifier, issuer: TokenIssuer, form: serialization.Encoding
) -> None:
    key = await issuer.get(KID)
    assert key is not None
    public = key.public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
    signer = jwt.PyJWS()
    signer.unregister_algorithm("HS256")
    signer.register_algorithm("HS256", _AnyKey(jwt.get_algorithm_by_name("HS256").hash_alg))  # type: ignore[attr-defined]
    for kind in (ACCESS_TYPE, SERVICE_TYPE):
        header = {"typ": kind, "kid": KID}
        token = signer.encode(json.dumps(claims()).encode(), public, algorithm="HS256", headers=header)  # type: ignore[arg-type]
        assert await refused(verifier, token) == "INVALID_TOKEN"


class _AnyKey(jwt.algorithms.HMACAlgorithm):
    """HMAC under whatever bytes: the library itself refuses to sign with a public key."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()


async def test_the_two_kinds_are_not_taken_for_each_other(verifier: TokenVerifier, issuer: TokenIssuer) -> None:
    as_access = jwt.encode(claims(), SECRET, "HS256", headers={"typ": ACCESS_TYPE, "kid": KID})
    as_service = jwt.encode(claims(sub="tasks"), issuer._key, "ES256", headers={"typ": SERVICE_TYPE, "kid": KID})
    assert await refused(verifier, as_access) == "INVALID_TOKEN"
    assert await refused(verifier, as_service) == "INVALID_TOKEN"


@pytest.mark.parametrize("kind", ["JWT", "at+JWS", "", None])
async def test_a_token_of_another_type_is_refused(
    verifier: TokenVerifier, issuer: TokenIssuer, kind: str | None
) -> None:
    token = jwt.encode(claims(), issuer._key, "ES256", headers={"typ": kind, "kid": KID})
    assert await refused(verifier, token) == "INVALID_TOKEN"


async def test_a_token_under_another_key_is_refused(verifier: TokenVerifier) -> None:
    foreign = ec.generate_private_key(ec.SECP256R1())
    token = jwt.encode(claims(), foreign, "ES256", headers={"typ": ACCESS_TYPE, "kid": KID})
    assert await refused(verifier, token) == "INVALID_TOKEN"


async def test_a_service_token_under_another_secret_is_refused(verifier: TokenVerifier) -> None:
    assert await refused(verifier, ServiceTokens("tasks", SECRET[::-1]).own()) == "INVALID_TOKEN"


async def test_a_token_with_an_unknown_key_id_is_refused(verifier: TokenVerifier, issuer: TokenIssuer) -> None:
    token = jwt.encode(claims(), issuer._key, "ES256", headers={"typ": ACCESS_TYPE, "kid": "other"})
    assert await refused(verifier, token) == "INVALID_TOKEN"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "elsewhere"},
        {"aud": "elsewhere"},
        {"aud": []},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        {"exp": "soon"},
        {"sub": "nobody"},
        {"sub": 7},
        {"wid": "nowhere"},
        {"wid": 7},
        {"sid": ["s"]},
        *({name: "-"} for name in ("iss", "aud", "sub", "wid", "role", "sid", "iat", "exp")),
        *({name: None} for name in ("iss", "aud", "sub", "wid", "sid", "iat", "exp")),
    ],
    ids=str,
)
async def test_a_token_whose_claims_do_not_hold_is_refused(
    verifier: TokenVerifier, issuer: TokenIssuer, changes: dict[str, Any]
) -> None:
    token = jwt.PyJWS().encode(
        json.dumps(claims(**changes)).encode(), issuer._key, "ES256", headers={"typ": ACCESS_TYPE, "kid": KID}
    )
    assert await refused(verifier, token) == "INVALID_TOKEN"


@pytest.mark.parametrize(
    "changes",
    [{"sub": "-"}, {"exp": "-"}, {"act": {}}, {"act": "tasks"}, {"act": {"sub": "tasks"}, "wid": "-"}],
    ids=str,
)
async def test_a_service_token_whose_claims_do_not_hold_is_refused(
    verifier: TokenVerifier, changes: dict[str, Any]
) -> None:
    token = jwt.encode(claims(**changes), SECRET, "HS256", headers={"typ": SERVICE_TYPE})
    assert await refused(verifier, token) == "INVALID_TOKEN"


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "é.é.é", "\ud800", "\0", unsigned({}, {}), unsigned({"typ": [], "alg": {}}, {}), "[" * 99],
    ids=ascii,
)
async def test_what_is_no_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    assert await refused(verifier, token) == "INVALID_TOKEN"


async def test_a_deeply_nested_header_is_refused(verifier: TokenVerifier) -> None:
    header = base64.urlsafe_b64encode(b"[" * 30_000).decode()
    assert await refused(verifier, f"{header}.e30.AAAA") == "INVALID_TOKEN"


async def test_a_changed_token_is_refused_also_when_the_true_one_is_known(
    verifier: TokenVerifier, issuer: TokenIssuer
) -> None:
    token = issuer.access_token(USER, WORKSPACE)
    await verifier.verify(token)
    header, payload, signature = token.split(".")
    swapped = ("B" if signature[10] == "A" else "A").join([signature[:10], signature[11:]])
    assert await refused(verifier, f"{header}.{payload}.{swapped}") == "INVALID_TOKEN"


async def test_an_expired_token_says_so(verifier: TokenVerifier, issuer: TokenIssuer) -> None:
    token = issuer.access_token(USER, WORKSPACE, lifetime_s=-LEEWAY_S - 1)
    assert await refused(verifier, token) == "TOKEN_EXPIRED"


async def test_a_known_token_is_verified_again_when_it_expires(keys: CountingKeys, issuer: TokenIssuer) -> None:
    clock = ManualClock(datetime.now(UTC))
    verifier = TokenVerifier(keys, SECRET, clock=clock)
    token = issuer.access_token(USER, WORKSPACE, lifetime_s=60)
    for seconds, verified in ((0, 1), (0, 1), (58, 1), (3, 2)):
        clock.advance(seconds)
        await verifier.verify(token)
        assert keys.asked == verified


async def test_a_bounded_number_of_tokens_is_remembered(keys: CountingKeys, issuer: TokenIssuer) -> None:
    verifier = TokenVerifier(keys, SECRET, remembered=2)
    first, second, third = (issuer.access_token(USER, WORKSPACE) for _ in range(3))
    for token in (first, second, third, third, second):
        await verifier.verify(token)
    assert keys.asked == 3
    await verifier.verify(first)
    assert keys.asked == 4


class CountingKeys:
    """The issuer's keys, and how often they were asked for."""

    def __init__(self, issuer: TokenIssuer) -> None:
        self._issuer = issuer
        self.asked = 0

    async def get(self, kid: str) -> EllipticCurvePublicKey | None:
        self.asked += 1
        return await self._issuer.get(kid)


@pytest.fixture
def keys(issuer: TokenIssuer) -> CountingKeys:
    return CountingKeys(issuer)


async def test_keys_that_cannot_be_had_are_no_fault_of_the_token(issuer: TokenIssuer) -> None:
    class _Unreachable:
        async def get(self, kid: str) -> EllipticCurvePublicKey | None:
            raise Unavailable(f"no {kid} now")

    with pytest.raises(Unavailable):
        await TokenVerifier(_Unreachable(), SECRET).verify(issuer.access_token(USER, WORKSPACE))
