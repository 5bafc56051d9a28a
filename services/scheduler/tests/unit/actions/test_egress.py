"""Where actions may connect to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.errors import InvalidArgument
from rota_scheduler.actions.checks import check_action
from rota_scheduler.actions.egress import AddressNotAllowedError, EgressPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

NEVER = [
    "169.254.169.254",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "2852039166",
    "0xa9fea9fe",
    "0.0.0.0",
    "0",
    "[::]",
    "[fe80::1]",
    "224.0.0.1",
    "[ff02::1]",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "[fd00:ec2::254]",
    "metadata.google.internal",
    "METADATA.google.internal.",
]
PRIVATE = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "localhost",
    "LocalHost.",
    "api.localhost",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "[fd12:3456::1]",
]
PUBLIC = ["example.com", "93.184.215.14", "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]"]


def call(url: str) -> dict[str, Any]:
    return {"create_task": None, "http": {"method": None, "url": url, "body": None}}


def check(host: str, *, allow_private: bool) -> None:
    check_action(call(f"http://{host}:8080/hook"), EgressPolicy(allow_private=allow_private))


@pytest.mark.parametrize("allow_private", [True, False])
@pytest.mark.parametrize("host", NEVER)
def test_metadata_link_local_and_the_like_are_refused_everywhere(host: str, *, allow_private: bool) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(host, allow_private=allow_private)
    assert caught.value.code == "ADDRESS_NOT_ALLOWED"
    assert caught.value.violations[0].field == "action.http.url"


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused_where_they_are_not_allowed(host: str) -> None:
    with pytest.raises(InvalidArgument, match="not a public address"):
        check(host, allow_private=False)
    check(host, allow_private=True)


@pytest.mark.parametrize("host", PUBLIC)
def test_public_hosts_are_allowed(host: str) -> None:
    check(host, allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "/relative",
        "http://a:b:c/",
        "http://0251.0376.0251.0376/",
    ],
)
def test_what_is_no_http_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument):
        check_action(call(url), EgressPolicy(allow_private=True))


def policy(*addresses: str, allow_private: bool = False) -> EgressPolicy:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return EgressPolicy(allow_private=allow_private, resolve=resolve)


async def test_only_the_allowed_addresses_of_a_name_are_given() -> None:
    mixed = policy("10.0.0.1", "93.184.215.14", "::1", "2606:2800::1")
    assert await mixed.addresses("example.com", 80) == ["93.184.215.14", "2606:2800::1"]


async def test_a_name_with_only_refused_addresses_is_refused() -> None:
    with pytest.raises(AddressNotAllowedError):
        await policy("169.254.169.254", "fe80::1%2", allow_private=True).addresses("rebound.example", 80)
