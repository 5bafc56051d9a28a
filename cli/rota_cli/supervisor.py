"""Keeps one program running: started again when it ends, after a pause that doubles while it keeps ending.

States: starting -> running -> backoff -> starting …; stopping -> stopped from any of them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rota_chassis.embedded.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rota_chassis.embedded.process import Program


class State(StrEnum):
    """What a supervised program is doing."""

    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to pause before a restart: `first_s`, doubling to `longest_s`, anew after `healthy_after_s` of life."""

    first_s: float = 0.2
    longest_s: float = 10.0
    healthy_after_s: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Service:
    """A program that serves.

    Attributes:
        serves: Whether it answers at its address now.
        is_front: Whether clients call it; the front is drained before what is behind it.
    """

    program: Program
    serves: Callable[[], Awaitable[bool]]
    is_front: bool = False


class Supervisor:
    """Runs a service until it is stopped.

    Args:
        service: What to run.
        on_change: Called whenever `state`, `pid` or `restarts` changed.
    """

    def __init__(self, service: Service, *, on_change: Callable[[], None], backoff: Backoff | None = None) -> None:
        self.service = service
        self.name = service.program.name
        self.state = State.STOPPED
        self.restarts = 0
        self.last_death: str | None = None
        self._backoff = backoff or Backoff()
        self._on_change = on_change
        self._child = ChildProcess(service.program)
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process now, if there is one."""
        return self._child.pid

    def start(self) -> None:
        """Begin to run it."""
        self._task = asyncio.create_task(self._run(), name=f"supervise-{self.name}")

    async def wait_serving(self) -> None:
        """Wait until it answers."""
        while not await self.service.serves():  # noqa: ASYNC110 (another process is asked)
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Let it drain, and restart it no more."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._child.stop()
        self._become(State.STOPPED)

    def hurry(self) -> None:
        """Drain no longer."""
        self._child.hurry()

    async def _run(self) -> None:
        pause_s = self._backoff.first_s
        while True:
            self._become(State.STARTING)
            started = time.monotonic()
            try:
                await self._child.start()
                self._become(State.RUNNING)
                self.last_death = await self._child.died()
            except OSError as error:
                self.last_death = f"{self.name} cannot be started: {error}"
            if time.monotonic() - started >= self._backoff.healthy_after_s:
                pause_s = self._backoff.first_s
            self.restarts += 1
            self._become(State.BACKOFF)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._backoff.longest_s)
            self._child = ChildProcess(self.service.program)

    def _become(self, state: State) -> None:
        self.state = state
        self._on_change()
