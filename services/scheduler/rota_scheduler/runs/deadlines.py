"""Breaking off what takes too long, looked at once a second.

A timer for each attempt costs more than most attempts do, and attempts that take too long are rare.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

LOOKED_AT_EVERY_S = 1.0


class Deadlines:
    """Cancels tasks whose blocks have not ended in time, up to `every_s` late."""

    def __init__(self, *, every_s: float = LOOKED_AT_EVERY_S) -> None:
        self._every_s = every_s
        self._ends_at: dict[asyncio.Task[object], float] = {}
        self._overdue: set[asyncio.Task[object]] = set()

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Let the block take so long in the current task; one block of a task at a time.

        Raises:
            TimeoutError: it was cancelled since it took longer; not when somebody else has cancelled it too.
            RuntimeError: no task runs.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Only what runs in a task can be broken off.")
        return _Block(task, seconds, self._ends_at, self._overdue)

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


class _Block:
    """See `Deadlines.within`; thousands a second begin, and a generator takes twice as long."""

    __slots__ = ("_before", "_ends_at", "_overdue", "_seconds", "_task")

    def __init__(
        self,
        task: asyncio.Task[object],
        seconds: float,
        ends_at: dict[asyncio.Task[object], float],
        overdue: set[asyncio.Task[object]],
    ) -> None:
        self._task = task
        self._seconds = seconds
        self._ends_at = ends_at
        self._overdue = overdue

    def __enter__(self) -> None:
        self._before = self._task.cancelling()
        self._ends_at[self._task] = self._task.get_loop().time() + self._seconds

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._ends_at.pop(self._task, None)
        if self._task not in self._overdue:
            return
        self._overdue.discard(self._task)
        if isinstance(error, asyncio.CancelledError) and self._task.uncancel() <= self._before:
            raise TimeoutError from error
