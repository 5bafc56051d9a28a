"""A service behind the gateway: calls to it with a deadline, a breaker and, where it is safe, one more try."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import grpc
from rota_chassis.errors import STATUS_TRAILER, DeadlineExceeded, Unavailable, from_rpc_error

from rota_gateway.problems import retry_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.errors import RotaError

    from rota_gateway.breaker import Breaker
    from rota_gateway.routes import Route

    Metadata = tuple[tuple[str, str], ...]

RETRY_DELAY_S = 0.05
_NOT_ANSWERED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class Upstream:
    """One service.

    Args:
        name: "tasks".
        channel: to it, without interceptors: they would double the cost of a call.
        breaker: what decides whether to try at all.
    """

    def __init__(self, name: str, channel: grpc.aio.Channel, breaker: Breaker) -> None:
        self.name = name
        self.channel = channel
        self._breaker = breaker
        self._calls: dict[str, Callable[..., Any]] = {}

    def prepare(self, route: Route) -> None:
        """Make the callable of a route's RPC."""
        request: Any = route.request_class
        response: Any = route.response_class
        self._calls[route.grpc_path] = self.channel.unary_unary(
            route.grpc_path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )

    async def call(self, route: Route, request: Any, metadata: Metadata, deadline: float) -> Any:
        """Call a route's RPC.

        Args:
            route: whose policy says whether the call may be repeated.
            request: its message.
            metadata: the call's.
            deadline: `time.monotonic()` when the answer is of no more use.

        Raises:
            RotaError: what the service, the channel or the breaker says.
        """
        tries = 2 if route.policy.idempotent else 1
        while True:
            tries -= 1
            try:
                return await self._try(route, request, metadata, deadline)
            except grpc.aio.AioRpcError as error:
                if tries and error.code() is grpc.StatusCode.UNAVAILABLE:
                    delay = RETRY_DELAY_S * (0.5 + random.random())  # noqa: S311 (jitter)
                    if time.monotonic() + 2 * delay < deadline:
                        await asyncio.sleep(delay)
                        continue
                raise self._explained(error) from error

    async def _try(self, route: Route, request: Any, metadata: Metadata, deadline: float) -> Any:
        wait_s = self._breaker.wait_s()
        if wait_s:
            raise self._unavailable(wait_s)
        try:
            answer = await self._calls[route.grpc_path](
                request, timeout=max(0.001, deadline - time.monotonic()), metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            if error.code() in _NOT_ANSWERED:
                self._breaker.failed()
            else:
                self._breaker.succeeded()
            raise
        self._breaker.succeeded()
        return answer

    def _explained(self, error: grpc.aio.AioRpcError) -> RotaError:
        if error.code() not in _NOT_ANSWERED:
            return from_rpc_error(error)
        trailers: Any = error.trailing_metadata() or ()
        if any(key == STATUS_TRAILER for key, _ in trailers):
            sent = from_rpc_error(error)
            sent.metadata.setdefault("service", self.name)
            return sent
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return self._unavailable(1.0)
        return DeadlineExceeded(
            f"The service '{self.name}' did not answer in time.",
            code="UPSTREAM_TIMEOUT",
            metadata={"service": self.name},
        )

    def _unavailable(self, wait_s: float) -> Unavailable:
        return Unavailable(
            f"The service '{self.name}' is not available at the moment; try again.",
            code="UPSTREAM_UNAVAILABLE",
            metadata={"service": self.name, "retry_after_s": retry_after(wait_s)},
        )
