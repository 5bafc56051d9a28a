"""Waiting for what happens in its own time."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def eventually(check: Callable[[], T | Awaitable[T]], *, timeout_s: float = 10.0, every_s: float = 0.02) -> T:
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
