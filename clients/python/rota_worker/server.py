"""Calls of Rota's REST API, made again where that is safe and may help."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_UNAUTHENTICATED = 401
_FIRST_DELAY_S = 0.2
_MOST_DELAY_S = 5.0
_TIMEOUT_S = 10.0


class Refused(Exception):
    """The server will not have it.

    Attributes:
        status: The HTTP status.
        code: What it says is the matter, for example "LEASE_LOST".
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"{status} {code}: {detail}")


class Unreachable(Exception):
    """No answer came that says whether the call was made; making it again may help."""


class Server:
    """Rota at one address.

    Args:
        url: Where its gateway is.
        token: An access token, or what gets one: it is asked when there is none, and when one is refused.
        http: Makes the calls.
    """

    def __init__(self, url: str, token: str | Callable[[], Awaitable[str]], http: httpx.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._source = token
        self._token = token if isinstance(token, str) else ""
        self._http = http

    async def post(
        self, path: str, body: Mapping[str, Any], *, timeout_s: float = _TIMEOUT_S, within_s: float = 0
    ) -> dict[str, Any]:
        """The JSON answer of a call.

        Args:
            path: Path.
            body: JSON body.
            timeout_s: How long to wait for an answer.
            within_s: How long to make the call again, while no answer comes, or one that may pass.

        Raises:
            Refused: the answer is a refusal.
            Unreachable: no answer came in time.
        """
        until = time.monotonic() + within_s
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                answer = await self._call(path, body, timeout_s)
            except httpx.TransportError as error:
                failed, least_s = repr(error), 0.0
            else:
                if answer.is_success:
                    return dict(answer.json()) if answer.content else {}
                if answer.status_code not in _PASSING:
                    raise _refused(answer)
                failed, least_s = str(_refused(answer)), _retry_after_s(answer)
            wait_s = max(random.uniform(0, delay_s), least_s)  # noqa: S311 (spreads calls, keeps no secret)
            if time.monotonic() + wait_s > until:
                raise Unreachable(f"POST {path}: {failed}")
            await asyncio.sleep(wait_s)
            delay_s = min(delay_s * 2, _MOST_DELAY_S)

    async def _call(self, path: str, body: Mapping[str, Any], timeout_s: float) -> httpx.Response:
        renewed = not self._token
        if renewed:
            await self._renew()
        while True:
            answer = await self._http.post(
                self._url + path, json=body, headers={"Authorization": f"Bearer {self._token}"}, timeout=timeout_s
            )
            if answer.status_code != _UNAUTHENTICATED or renewed or isinstance(self._source, str):
                return answer
            await self._renew()
            renewed = True

    async def _renew(self) -> None:
        if not isinstance(self._source, str):
            self._token = await self._source()


def _refused(answer: httpx.Response) -> Refused:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    return Refused(answer.status_code, problem.get("code", ""), problem.get("detail", answer.text[:200]))


def _retry_after_s(answer: httpx.Response) -> float:
    given = answer.headers.get("retry-after", "")
    return float(given) if given.isdigit() else 0.0
