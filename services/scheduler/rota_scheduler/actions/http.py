"""The action `http`: one call of an endpoint."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx

from rota_scheduler.actions.bodies import body_of
from rota_scheduler.actions.egress import AddressNotAllowedError
from rota_scheduler.actions.retries import TIMEOUT_S, timeout_of, within
from rota_scheduler.actions.signing import signature_headers
from rota_scheduler.expressions import ExpressionError
from rota_scheduler.runs.domain import Failed, Succeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from rota_scheduler.actions.egress import EgressPolicy
    from rota_scheduler.runs.domain import Outcome, Run

READ_BYTES = 64_000
KEPT_CHARACTERS = 4_000
_READ_S = 5.0
_SUCCESS = ("200-299",)
_RETRYABLE = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def open_client(policy: EgressPolicy) -> httpx.AsyncClient:
    """An HTTP client that connects only where the policy allows.

    It follows no redirects, since they may lead anywhere, and knows no proxies, since they would resolve names
    themselves. No connection is kept: a kept one is found again by its address, whatever name it was made for.
    """
    return httpx.AsyncClient(
        transport=_JudgedTransport(policy),
        timeout=TIMEOUT_S,
        follow_redirects=False,
        trust_env=False,
        headers={"user-agent": "rota"},
    )


class CallHttp:
    """Makes the calls.

    Args:
        client: See `open_client`.
        now_s: Seconds since 1970, for signatures.
    """

    def __init__(self, client: httpx.AsyncClient, now_s: Callable[[], float] = time.time) -> None:
        self._client = client
        self._now_s = now_s

    async def __call__(self, run: Run) -> Outcome:
        """Make one attempt; the status of the answer is kept, and how its body begins."""
        call, timeout_s = run.parameters, timeout_of(run.action)
        try:
            body = body_of(call, run)
        except ExpressionError as error:
            return Failed(f"The body cannot be made: {error}", retryable=False)
        headers = _headers(call, run)
        if call.get("signing_secret"):
            headers.update(signature_headers(call["signing_secret"], str(run.id), int(self._now_s()), body or b""))
        method = (call.get("method") or "post").upper()
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._client.stream(method, call["url"], headers=headers, content=body, timeout=timeout_s) as answer,
            ):
                return _outcome(call, answer.status_code, await _beginning(answer))
        except AddressNotAllowedError as error:
            return Failed(f"The address is not allowed: {error}.", retryable=False)
        except (TimeoutError, httpx.TimeoutException):
            return Failed(f"No answer within {timeout_s:g} s.", retryable=True, cause="timeout")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            return Failed(f"The call cannot be made: {error}.", retryable=False)
        except (httpx.TransportError, OSError) as error:
            return Failed(f"The call failed: {error or type(error).__name__}.", retryable=True, cause="connection")


def _headers(call: Mapping[str, Any], run: Run) -> dict[str, str]:
    # What is compressed could be far more than what is read.
    headers = {"accept-encoding": "identity"}
    if call.get("text") is not None:
        headers["content-type"] = "text/plain; charset=utf-8"
    elif call.get("body") is not None:
        headers["content-type"] = "application/json"
    headers.update({header["name"].lower(): header["value"] for header in call.get("headers") or ()})
    return headers | {"idempotency-key": str(run.id)}


async def _beginning(answer: httpx.Response) -> str | None:
    """How the body begins, as text; what cannot be read, or not soon, is left out, for the status says enough."""
    read = bytearray()
    with suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(_READ_S):
            async for chunk in answer.aiter_raw():
                read += chunk
                if len(read) >= READ_BYTES:
                    break
    # PostgreSQL knows no text with NUL.
    text = bytes(read[:READ_BYTES]).decode(errors="replace").replace("\0", "\ufffd")
    return text[:KEPT_CHARACTERS] or None


def _outcome(call: Mapping[str, Any], status: int, response: str | None) -> Outcome:
    if within(status, call.get("success") or _SUCCESS):
        return Succeeded(http_status=status, response=response)
    retryable = status in _RETRYABLE or httpx.codes.is_server_error(status)
    return Failed(
        f"The endpoint answered {status}.",
        retryable=retryable,
        http_status=status,
        cause=str(status),
        response=response,
    )


class _JudgedTransport(httpx.AsyncBaseTransport):
    """Connects to addresses that the policy has judged, one after the other until one accepts."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._inner = httpx.AsyncHTTPTransport(
            verify=ssl.create_default_context(),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        addresses = await self._policy.addresses(url.host, url.port or _DEFAULT_PORTS[url.scheme])
        # The Host header was set from the URL already; the certificate is checked against the name, too.
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        for address in addresses[:-1]:
            request.url = url.copy_with(host=address)
            try:
                return await self._inner.handle_async_request(request)
            except httpx.ConnectError:
                continue
        request.url = url.copy_with(host=addresses[-1])
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()
