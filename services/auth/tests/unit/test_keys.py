from __future__ import annotations

import base64
import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from rota_auth.keys.signing import SigningKey
from rota_auth.keys.store import load_signing_key

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


def pem_of(key: PrivateKeyTypes) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_the_key_id_is_the_rfc_7638_thumbprint() -> None:
    key = SigningKey.generate()
    canonical = '{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.format(**key.jwk)
    digest = hashlib.sha256(canonical.encode()).digest()
    assert key.kid == key.jwk["kid"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_the_published_key_verifies_what_the_private_key_signed() -> None:
    key = SigningKey.generate()
    token = key.sign({"sub": "ada"})
    assert jwt.decode(token, jwt.PyJWK(dict(key.jwk)).key, algorithms=["ES256"]) == {"sub": "ada"}


def test_no_private_part_is_published() -> None:
    assert set(SigningKey.generate().jwk) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


async def test_a_key_answers_to_its_own_id_only() -> None:
    key = SigningKey.generate()
    assert await key.get(key.kid) is not None
    assert await key.get("other") is None


def test_a_key_survives_the_way_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.pem"
    made = load_signing_key(pem=None, path=path, may_create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_signing_key(pem=None, path=path, may_create=False).kid == made.kid
    assert [each.name for each in path.parent.iterdir()] == ["signing.pem"]


def test_replicas_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    with ThreadPoolExecutor(8) as pool:
        keys = pool.map(lambda _: load_signing_key(pem=None, path=path, may_create=True), range(16))
        assert len({key.kid for key in keys}) == 1


def test_production_makes_no_key(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    with pytest.raises(ValueError, match="does not exist"):
        load_signing_key(pem=None, path=path, may_create=False)
    with pytest.raises(ValueError, match="set ROTA_SIGNING_KEY"):
        load_signing_key(pem=None, path=None, may_create=False)
    assert not path.exists()


@pytest.mark.parametrize(
    "pem",
    [
        "not a key",
        pem_of(ec.generate_private_key(ec.SECP384R1())),
        pem_of(ed25519.Ed25519PrivateKey.generate()),
    ],
)
def test_another_kind_of_key_is_refused(pem: str) -> None:
    with pytest.raises(ValueError, match="the signing key is not"):
        load_signing_key(pem=pem, path=None, may_create=True)
