"""A service behind the gateway: calls to it with a deadline, a breaker and, where it is safe, one more try."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, Any

import grpc
from rota_chassis.errors import DeadlineExceeded, Unavailable, from_rpc_error
from rota_chassis.rpc import streams

from rota_gateway.problems import retry_after
from rota_gateway.routes import Transfer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

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
        make: Any = {
            Transfer.NONE: self.channel.unary_unary,
            Transfer.UP: self.channel.stream_unary,
            Transfer.DOWN: self.channel.unary_stream,
        }[route.transfer]
        self._calls[route.grpc_path] = make(
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

    async def send(self, route: Route, messages: AsyncGenerator[Any], metadata: Metadata, deadline: float) -> Any:
        """Call a route's RPC that takes a stream, as fast as it takes it.

        Raises:
            RotaError: as `call`.
            Exception: whatever `messages` raises; the call is then cancelled.
        """
        call = self._begin(route, metadata, deadline)
        try:
            answer = await streams.send(call, messages)
        except grpc.aio.AioRpcError as error:
            self._note(error)
            raise self._explained(error) from error
        self._breaker.succeeded()
        return answer

    @contextlib.asynccontextmanager
    async def receive(
        self, route: Route, request: Any, metadata: Metadata, deadline: float
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """The messages of a route's RPC that gives a stream; it ends with the block.

        Raises:
            RotaError: as `call`, also from within the messages.
        """
        call = self._begin(route, metadata, deadline, request)
        try:
            yield self._read(call)
        finally:
            call.cancel()

    async def _read(self, call: Any) -> AsyncIterator[Any]:
        try:
            async for message in call:
                self._breaker.succeeded()
                yield message
        except grpc.aio.AioRpcError as error:
            self._note(error)
            raise self._explained(error) from error

    def _begin(self, route: Route, metadata: Metadata, deadline: float, *request: Any) -> Any:
        wait_s = self._breaker.wait_s()
        if wait_s:
            raise self._unavailable(wait_s)
        return self._calls[route.grpc_path](
            *request, timeout=max(0.001, deadline - time.monotonic()), metadata=metadata
        )

    def _note(self, error: grpc.aio.AioRpcError) -> None:
        if error.code() in _NOT_ANSWERED:
            self._breaker.failed()
        else:
            self._breaker.succeeded()

    async def _try(self, route: Route, request: Any, metadata: Metadata, deadline: float) -> Any:
        try:
            answer = await self._begin(route, metadata, deadline, request)
        except grpc.aio.AioRpcError as error:
            self._note(error)
            raise
        self._breaker.succeeded()
        return answer

    def _explained(self, error: grpc.aio.AioRpcError) -> RotaError:
        if error.code() not in _NOT_ANSWERED:
            return from_rpc_error(error)
        if streams.is_of_the_service(error):
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
