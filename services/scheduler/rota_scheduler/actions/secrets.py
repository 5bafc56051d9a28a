"""The secrets within actions: they are stored to be sent, and shown to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "********"


def masked(action: Mapping[str, Any]) -> Mapping[str, Any]:
    """The action as it may be shown: with a mask for each secret."""
    call = action.get("http")
    if call is None:
        return action
    headers = [{**header, "value": MASK} if header.get("sensitive") else header for header in call.get("headers") or ()]
    secret = MASK if call.get("signing_secret") else None
    return {**action, "http": {**call, "headers": headers, "signing_secret": secret}}
