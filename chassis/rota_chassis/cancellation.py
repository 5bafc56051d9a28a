"""Ending tasks for certain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

AGAIN_S = 1.0


async def cancel_and_wait(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks until each has ended; how they ended is for the caller to look at.

    Until Python 3.12 `asyncio.wait_for`, which client libraries use, loses a cancellation that comes together with its
    result, so one is not always enough.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
