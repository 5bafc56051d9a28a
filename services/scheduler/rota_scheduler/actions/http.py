"""The action `http`: one call of an endpoint."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx
import orjson

from rota_scheduler.actions.egress import AddressNotAllowedError
from rota_scheduler.runs.domain import Failed, Succeeded

if TYPE_CHECKING:
    from rota_scheduler.actions.egress import EgressPolicy
    from rota_scheduler.runs.domain import Outcome, Run

TIMEOUT_S = 10.0
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
    """Makes the calls."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(self, run: Run) -> Outcome:
        """Make one attempt; only the status of the answer is kept."""
        call = run.parameters
        headers = {"idempotency-key": str(run.id)}
        body = None
        if call["body"] is not None:
            headers["content-type"] = "application/json"
            body = orjson.dumps(call["body"])
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._client.stream(
                    (call["method"] or "post").upper(), call["url"], headers=headers, content=body
                ) as answer,
            ):
                return _outcome(answer.status_code)
        except AddressNotAllowedError as error:
            return Failed(f"The address is not allowed: {error}.", retryable=False)
        except (TimeoutError, httpx.TimeoutException):
            return Failed(f"No answer within {TIMEOUT_S:g} s.", retryable=True)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            return Failed(f"The call cannot be made: {error}.", retryable=False)
        except (httpx.TransportError, OSError) as error:
            return Failed(f"The call failed: {error or type(error).__name__}.", retryable=True)


def _outcome(status: int) -> Outcome:
    if httpx.codes.is_success(status):
        return Succeeded(http_status=status)
    retryable = status in _RETRYABLE or httpx.codes.is_server_error(status)
    return Failed(f"The endpoint answered {status}.", retryable=retryable, http_status=status)


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
