"""Breaking off what takes too long, looked at once a second.

A timer for each attempt costs more than most attempts do, and attempts that take too long are rare.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOKED_AT_EVERY_S = 1.0


class Deadlines:
    """Cancels tasks whose blocks have not ended in time, up to `every_s` late."""

    def __init__(self, *, every_s: float = LOOKED_AT_EVERY_S) -> None:
        self._every_s = every_s
        self._ends_at: dict[asyncio.Task[object], float] = {}
        self._overdue: set[asyncio.Task[object]] = set()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let the block take so long in the current task; one block of a task at a time.

        Raises:
            TimeoutError: it was cancelled since it took longer; not when somebody else has cancelled it too.
            RuntimeError: no task runs.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Only what runs in a task can be broken off.")
        before = task.cancelling()
        self._ends_at[task] = asyncio.get_running_loop().time() + seconds
        try:
            yield
        except asyncio.CancelledError as error:
            if task in self._overdue and task.uncancel() <= before:
                raise TimeoutError from error
            raise
        finally:
            self._ends_at.pop(task, None)
            self._overdue.discard(task)

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._every_s)
            now = loop.time()
            for task in [task for task, ends_at in self._ends_at.items() if ends_at <= now]:
                del self._ends_at[task]
                self._overdue.add(task)
                task.cancel()
