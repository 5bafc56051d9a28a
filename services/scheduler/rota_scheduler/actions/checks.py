"""What an action must be, beyond the rules in the contract, to be accepted into a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from rota_chassis.errors import InvalidArgument, Violation

from rota_scheduler.actions.egress import AddressNotAllowedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_scheduler.actions.egress import EgressPolicy

_URL_FIELD = "action.http.url"


def check_action(action: Mapping[str, Any], policy: EgressPolicy) -> None:
    """Return if the action may be taken, as far as that can be known before its time.

    Raises:
        InvalidArgument: its URL is not an absolute http(s) address (code INVALID_FIELDS), or leads where actions may
            not connect to (ADDRESS_NOT_ALLOWED).
    """
    call = action["http"]
    if call is None:
        return
    try:
        url = httpx.URL(call["url"])
    except httpx.InvalidURL as error:
        raise _invalid("INVALID_FIELDS", f"is not an address: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise _invalid("INVALID_FIELDS", "must be an absolute http or https address")
    try:
        policy.check_host(url.host)
    except AddressNotAllowedError as error:
        raise _invalid("ADDRESS_NOT_ALLOWED", f"leads where actions may not connect to: {error}") from error


def _invalid(code: str, description: str) -> InvalidArgument:
    return InvalidArgument(
        f"The action's URL {description}.", code=code, violations=[Violation(_URL_FIELD, description, code.lower())]
    )
