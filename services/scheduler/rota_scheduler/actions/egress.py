"""Where HTTP actions may connect to (server-side request forgery, OWASP API7:2023).

What counts is the address that is connected to, not the name in the URL: a name is resolved here, its addresses are
judged, and the connection goes to an address that was judged, so that a second answer of the name server (DNS
rebinding) changes nothing. URLs with an address, or a name that can only mean one, are refused when a schedule is
created; the others when their run is executed.

Never allowed: unspecified, link-local, multicast, reserved and broadcast addresses, and those where clouds serve
credentials. Loopback and private addresses are allowed where the policy says so.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Address = IPv4Address | IPv6Address
    Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_NEVER: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # RFC 1122: this network
        "169.254.0.0/16",  # RFC 3927: link-local, and the metadata services of most clouds
        "100.100.100.200/32",  # Alibaba Cloud's metadata
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.0/24",  # RFC 6890: protocol assignments, and Oracle Cloud's metadata
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "::/128",
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local, deprecated
        "ff00::/8",  # multicast
        "fd00:ec2::/32",  # AWS's metadata
        "fd20:ce::254/128",  # Google Cloud's metadata
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_IPV4_COMPATIBLE = ip_network("::/96")
_NEVER_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"})
_LOOPBACK_NAME = "localhost"


class AddressNotAllowedError(Exception):
    """The policy does not let an action connect there; the message says why."""


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the system's resolver gives them.

    Raises:
        OSError: the name cannot be resolved.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))


class EgressPolicy:
    """Judges hosts and addresses.

    Args:
        allow_private: Whether loopback, private and otherwise not public addresses are allowed.
        resolve: Name and port to addresses.
    """

    def __init__(self, *, allow_private: bool, resolve: Resolve = resolve_by_system) -> None:
        self._allow_private = allow_private
        self._resolve = resolve

    def check_host(self, host: str) -> None:
        """Return unless the host of a URL can only mean an address that is not allowed.

        Raises:
            AddressNotAllowedError: it can.
        """
        name = host.rstrip(".").lower()
        if name in _NEVER_NAMES:
            raise AddressNotAllowedError(f"{host} is a cloud's metadata service")
        if name == _LOOPBACK_NAME or name.endswith(f".{_LOOPBACK_NAME}"):
            self._check(IPv4Address("127.0.0.1"), host)
        literal = _literal(name)
        if literal is not None:
            self._check(literal, host)

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host that may be connected to, in the resolver's order, at least one.

        Raises:
            AddressNotAllowedError: none of them may.
            OSError: the name cannot be resolved.
        """
        self.check_host(host)
        allowed, refusal = [], AddressNotAllowedError(f"{host} has no address")
        for text in await self._resolve(host, port):
            try:
                self._check(ip_address(text), host)
            except AddressNotAllowedError as error:
                refusal = error
            else:
                allowed.append(text)
        if not allowed:
            raise refusal
        return allowed

    def _check(self, address: Address, host: str) -> None:
        judged = _innermost(address)
        for network in _NEVER:
            if judged.version == network.version and judged in network:
                raise AddressNotAllowedError(f"{host} is in {network}, where actions may not connect to")
        if not self._allow_private and not judged.is_global:
            raise AddressNotAllowedError(f"{host} is not a public address")


def _literal(host: str) -> Address | None:
    """The address that a host is by itself, also in the forms of inet_aton(3): 127.1, 2130706433, 0x7f000001."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _innermost(address: Address) -> Address:
    """The IPv4 address within an IPv6 address that carries one, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    embedded = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
    if embedded:
        return embedded
    if address in _NAT64 or (address in _IPV4_COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    # A scope, as in fe80::1%eth0, takes no part in the judgement.
    return IPv6Address(int(address))
