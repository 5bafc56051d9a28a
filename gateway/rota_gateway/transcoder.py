"""Serves the routes of the contract: HTTP in, gRPC out, and back.

The order of a request: path -> identity -> rate limit -> body, codec and rules -> call -> answer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rota_chassis.errors import RotaError

from rota_gateway import bodies, downloads, uploads
from rota_gateway.answers import send_answer, send_empty
from rota_gateway.conditions import none_match
from rota_gateway.exchange import exchange_of
from rota_gateway.identity import identify
from rota_gateway.problems import problem_of, send_problem
from rota_gateway.ratelimit.limiter import refuse_if_over
from rota_gateway.routes import Access, RateClass, Transfer
from rota_gateway.waiting import WhileClientWaits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.tokens import ServiceTokens, TokenVerifier
    from starlette.types import Receive, Scope, Send

    from rota_gateway.endpoint import Answer, Endpoint
    from rota_gateway.exchange import Exchange
    from rota_gateway.ratelimit.gcra import Quota
    from rota_gateway.ratelimit.limiter import RateLimiter
    from rota_gateway.upstream import Upstream

_MAX_USER_AGENT = 256


class Transcoder:
    """What it takes to serve any endpoint.

    Args:
        upstreams: the services, by the name that routes know them by.
        verifier: of access tokens.
        tokens: the gateway's own identity, for public routes.
        limiter: counts calls.
        quotas: how many of each rate class.
        body_bytes: longest body of a request; files have limits of their own.
    """

    def __init__(
        self,
        *,
        upstreams: Mapping[str, Upstream],
        verifier: TokenVerifier,
        tokens: ServiceTokens,
        limiter: RateLimiter,
        quotas: Mapping[RateClass, Quota],
        body_bytes: int,
    ) -> None:
        self._upstreams = upstreams
        self._verifier = verifier
        self._tokens = tokens
        self._limiter = limiter
        self._quotas = quotas
        self._body_bytes = body_bytes

    async def serve(
        self, endpoint: Endpoint, captured: tuple[str, ...], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer one request.

        Args:
            endpoint: that the request's method and path matched.
            captured: the parameters of the path.
            scope: of the request.
            receive: gives its body.
            send: takes the answer.

        Raises:
            Refused: something in the request is wrong.
            RotaError: something behind the gateway went wrong.
            ClientGone: the client did not wait for what it asked to read.
        """
        exchange = exchange_of(scope)
        route = endpoint.route
        if route.transfer is not Transfer.UP:
            bodies.check_length(exchange.headers, self._body_bytes)
        deadline = time.monotonic() + route.policy.timeout_s
        token = await self._identify(route.policy.access, exchange)
        await self._limit(route.policy.rate_class, exchange)
        body = b""
        if route.transfer is not Transfer.UP and bodies.has_body(exchange.headers):
            body = await bodies.read_body(receive, self._body_bytes)
        request = endpoint.decode(captured, scope["query_string"], exchange.headers, body)
        metadata = (
            ("authorization", f"Bearer {token}"),
            ("traceparent", exchange.traceparent),
            ("x-rota-client-address", exchange.address),
            ("x-rota-user-agent", _user_agent(exchange.headers)),
        )
        upstream = self._upstreams[route.backend]
        try:
            match route.transfer:
                case Transfer.NONE if route.method == "GET":
                    async with WhileClientWaits(receive):
                        answer = await upstream.call(route, request, metadata, deadline)
                case Transfer.NONE:
                    answer = await upstream.call(route, request, metadata, deadline)
                case Transfer.UP:
                    sent = uploads.messages(route, request, exchange.headers, receive)
                    answer = await upstream.send(route, sent, metadata, deadline)
                case Transfer.DOWN:
                    async with (
                        WhileClientWaits(receive),
                        upstream.receive(route, request, metadata, deadline) as messages,
                    ):
                        await downloads.send_file(send, exchange, endpoint, messages)
                    return
        except RotaError as error:
            if not error.violations:
                raise
            await send_problem(send, exchange, problem_of(error, endpoint.errors(error.violations)))
            return
        if route.policy.success_status == 204:  # noqa: PLR2004
            await send_empty(send, 204, ((b"cache-control", endpoint.cache_control),))
            return
        await _send(send, exchange, endpoint, endpoint.encode(answer))

    async def _identify(self, access: Access, exchange: Exchange) -> str:
        if access is Access.PUBLIC:
            return self._tokens.own()
        exchange.principal, token = await identify(self._verifier, exchange.headers, access)
        return token

    async def _limit(self, rate_class: RateClass, exchange: Exchange) -> None:
        who = exchange.principal
        # Whoever tries passwords does so without a token, or with any: these calls count per address.
        key = exchange.address if who is None or rate_class is RateClass.CREDENTIAL else str(who.user_id)
        decision = await self._limiter.take(key, self._quotas[rate_class])
        exchange.answer_headers.update(decision.headers())
        refuse_if_over(decision)


async def _send(send: Send, exchange: Exchange, endpoint: Endpoint, answer: Answer) -> None:
    headers = [(b"cache-control", endpoint.cache_control)]
    if answer.location is not None:
        headers.append((b"location", answer.location))
    if answer.etag is not None:
        headers.append((b"etag", answer.etag))
        condition = exchange.headers.get(b"if-none-match") if endpoint.route.method == "GET" else None
        if condition is not None and not none_match(condition, answer.etag):
            await send_empty(send, 304, headers)
            return
    await send_answer(send, exchange, endpoint.route.policy.success_status, answer.body, headers=headers)


def _user_agent(headers: Mapping[bytes, bytes]) -> str:
    raw = headers.get(b"user-agent", b"")[:_MAX_USER_AGENT]
    text = raw.decode("ascii", "replace").replace("\ufffd", "?")
    return text if text.isprintable() else ""
