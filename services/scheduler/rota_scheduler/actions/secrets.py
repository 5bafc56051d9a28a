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
    shown = dict(call)
    if call.get("signing_secret"):
        shown["signing_secret"] = MASK
    # In a definition of a workflow they may be a template.
    if isinstance(headers := call.get("headers"), list):
        shown["headers"] = [
            {**each, "value": MASK} if isinstance(each, dict) and each.get("sensitive") else each for each in headers
        ]
    return {**action, "http": shown}
