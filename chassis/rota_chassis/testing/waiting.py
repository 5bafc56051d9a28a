"""Waiting for what happens in its own time."""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

T = TypeVar("T")


@overload
async def eventually(check: Callable[[], Awaitable[T]], *, timeout_s: float = 10.0, every_s: float = 0.02) -> T: ...


@overload
async def eventually(check: Callable[[], T], *, timeout_s: float = 10.0, every_s: float = 0.02) -> T: ...


async def eventually(check: Callable[[], Any], *, timeout_s: float = 10.0, every_s: float = 0.02) -> Any:
    """What `check` returns, as soon as that is true.

    Raises:
        AssertionError: it was not within `timeout_s`; the message shows the last value.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = check()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"still {value!r} after {timeout_s} s")
        await asyncio.sleep(every_s)


@asynccontextmanager
async def in_background(*running: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines within the block; they are cancelled at its end, and their failure fails the test."""
    tasks = [asyncio.create_task(each) for each in running]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
