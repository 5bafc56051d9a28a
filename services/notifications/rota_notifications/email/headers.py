"""Headers that arrive as they were meant.

When the standard library's policies fold a header with more than one encoded word, blanks between the words get lost.
The headers that hold what users wrote are therefore folded by `email.header.Header`, which encodes the blanks too
(RFC 2047, section 2).
"""

from __future__ import annotations

from email.header import Header
from email.headerregistry import Address, HeaderRegistry, UniqueSingleAddressHeader, UniqueUnstructuredHeader
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from email.headerregistry import BaseHeader

_LINE_CHARACTERS = 76
_LOOKS_ENCODED = "=?"


class _Text(UniqueUnstructuredHeader):
    """One line of text."""

    def fold(self: Any, *, policy: Any) -> str:
        text = str(self)
        shown = text if _fits(self.name, text) else _encoded(self.name, text, policy.linesep)
        return f"{self.name}: {shown}{policy.linesep}"


class _Mailbox(UniqueSingleAddressHeader):
    """One address with a display name."""

    def fold(self: Any, *, policy: Any) -> str:
        mailbox: Address = self.address
        shown = str(mailbox)
        if mailbox.display_name and not _fits(self.name, shown):
            name = _encoded(self.name, mailbox.display_name, policy.linesep)
            shown = f"{name}{policy.linesep} <{mailbox.addr_spec}>"
        return f"{self.name}: {shown}{policy.linesep}"


HEADERS = HeaderRegistry()
"""The `header_factory` of a policy."""
HEADERS.map_to_type("subject", cast("type[BaseHeader]", _Text))
for _name in ("from", "to"):
    HEADERS.map_to_type(_name, cast("type[BaseHeader]", _Mailbox))


def _fits(name: str, shown: str) -> bool:
    return shown.isascii() and _LOOKS_ENCODED not in shown and len(name) + 2 + len(shown) <= _LINE_CHARACTERS


def _encoded(name: str, text: str, linesep: str) -> str:
    return Header(text, charset="utf-8", header_name=name, maxlinelen=_LINE_CHARACTERS).encode(linesep=linesep)
