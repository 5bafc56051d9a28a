"""Signatures as Standard Webhooks says."""

from __future__ import annotations

import base64

import pytest
from rota_scheduler.actions.signing import key_of, signature_headers

# The example of the specification's reference implementations.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_published_example_gets_the_published_signature() -> None:
    headers = signature_headers(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "secret",
    ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_no base64!", "whsec_c2hvcnQ=", "whsec_"],
    ids=["prefix", "alphabet", "short", "empty"],
)
def test_a_secret_that_holds_no_key_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="must"):
        key_of(secret)


def test_a_key_may_have_24_to_64_bytes() -> None:
    for length in (24, 64):
        assert key_of("whsec_" + base64.b64encode(bytes(length)).decode()) == bytes(length)
    with pytest.raises(ValueError, match="24 to 64"):
        key_of("whsec_" + base64.b64encode(bytes(65)).decode())
