"""What an action must be, beyond the rules in the contract, to be accepted into a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import orjson
from rota_chassis.errors import InvalidArgument, Violation

from rota_scheduler.actions.bodies import check_template
from rota_scheduler.actions.egress import AddressNotAllowedError
from rota_scheduler.actions.secrets import MASK
from rota_scheduler.actions.signing import key_of
from rota_scheduler.expressions import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rota_scheduler.actions.egress import EgressPolicy

_URL_FIELD = "action.http.url"
_MOST_BYTES = 64_000
_NOT_TO_SET = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "idempotency-key",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_TO_SET_PREFIXES = ("proxy-", "webhook-")


def check_action(action: Mapping[str, Any], policy: EgressPolicy) -> None:
    """Return if the action may be taken, as far as that can be known before its time.

    Raises:
        InvalidArgument: something in it will not do (code INVALID_FIELDS), or its URL leads where actions may not
            connect to (ADDRESS_NOT_ALLOWED).
    """
    _check_ranges("action.retry.retry_on", (action.get("retry") or {}).get("retry_on") or ())
    if (call := action.get("http")) is not None:
        _check_url(call["url"], policy)
        _check_call(call)
    if action.get("cleanup") is not None:
        raise _invalid("action.cleanup", "is for schedules of the system itself")
    for kind, member in (("event", "data"), ("job", "payload")):
        given = action.get(kind)
        if given is not None and len(orjson.dumps(given.get(member))) > _MOST_BYTES:
            raise _invalid(f"action.{kind}.{member}", f"must be at most {_MOST_BYTES} bytes as JSON")


def _check_url(text: str, policy: EgressPolicy) -> None:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise _invalid(_URL_FIELD, f"is not an address: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise _invalid(_URL_FIELD, "must be an absolute http or https address")
    try:
        policy.check_host(url.host)
    except AddressNotAllowedError as error:
        raise _invalid(
            _URL_FIELD, f"leads where actions may not connect to: {error}", code="ADDRESS_NOT_ALLOWED"
        ) from error


def _check_call(call: Mapping[str, Any]) -> None:
    if call.get("text") is not None and call.get("body") is not None:
        raise _invalid("action.http.text", "cannot be given together with body")
    if call.get("template"):
        _check_template(call)
    seen = set()
    for index, header in enumerate(call.get("headers") or ()):
        field, name = f"action.http.headers[{index}]", header["name"].lower()
        if name in _NOT_TO_SET or name.startswith(_NOT_TO_SET_PREFIXES):
            raise _invalid(f"{field}.name", f"is {header['name']}, which is not the action's to set")
        if name in seen:
            raise _invalid(f"{field}.name", f"is {header['name']}, which is given twice")
        seen.add(name)
        if header.get("sensitive") and header.get("value") == MASK:
            raise _invalid(f"{field}.value", "is the mask of a secret; give the secret")
    if (secret := call.get("signing_secret")) is not None:
        if secret == MASK:
            raise _invalid("action.http.signing_secret", "is the mask of a secret; give the secret")
        try:
            key_of(secret)
        except ValueError as error:
            raise _invalid("action.http.signing_secret", str(error)) from error
    _check_ranges("action.http.success", call.get("success") or ())


def _check_template(call: Mapping[str, Any]) -> None:
    for name in ("text", "body"):
        try:
            check_template(call.get(name))
        except ExpressionError as error:
            where = f"is wrong at character {error.position + 1} of a text: {str(error).rstrip('.')}"
            raise _invalid(f"action.http.{name}", where) from error


def _check_ranges(field: str, ranges: Iterable[str]) -> None:
    for index, each in enumerate(ranges):
        first, _, last = each.partition("-")
        if last and last < first:
            raise _invalid(f"{field}[{index}]", "is a range that ends before it begins")


def _invalid(field: str, description: str, *, code: str = "INVALID_FIELDS") -> InvalidArgument:
    what = "The action's URL" if field == _URL_FIELD else field
    return InvalidArgument(
        f"{what} {description}.", code=code, violations=[Violation(field, description, code.lower())]
    )
