"""Calls that take a stream."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import grpc

from rota_chassis.errors import STATUS_TRAILER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine


async def send(call: Any, messages: AsyncGenerator[Any]) -> Any:
    """The answer of a call that takes a stream, once these messages are written, as fast as they are taken.

    A service that refuses does not wait for their end. What cannot be written then, the library makes an error of the
    channel, before or after what the service said; here the service's is what counts.

    Args:
        call: Of a stub, without an iterator of messages.
        messages: Closed when this returns.

    Raises:
        AioRpcError: the call failed.
        Exception: whatever `messages` raises; the call is then cancelled.
    """
    endings: list[grpc.aio.AioRpcError] = []
    call.add_done_callback(lambda ended: endings.append(_ending(ended)))
    try:
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            async with aclosing(messages):
                async for message in messages:
                    await call.write(message)
            await call.done_writing()
        return await call
    except grpc.aio.AioRpcError as error:
        said = next((each for each in endings if is_of_the_service(each)), error)
        raise said from error
    finally:
        call.cancel()


def is_of_the_service(error: grpc.aio.AioRpcError) -> bool:
    """Whether the service said it, not the channel."""
    trailers: Any = error.trailing_metadata() or ()
    return any(key == STATUS_TRAILER for key, _ in trailers)


def _ending(call: Any) -> grpc.aio.AioRpcError:
    """How a call that has ended has ended."""
    return grpc.aio.AioRpcError(
        _at_once(call.code()),
        _at_once(call.initial_metadata()),
        _at_once(call.trailing_metadata()),
        _at_once(call.details()),
        None,
    )


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as result:
        return result.value
    coroutine.close()
    raise RuntimeError("it waits")
