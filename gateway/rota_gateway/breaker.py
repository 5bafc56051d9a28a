"""A circuit breaker: calls to a service that keeps failing are refused at once, until a probe succeeds.

closed ──(failures in a row, or too large a part of them)──> open ──(after a while)──> half-open
   ^                                                          ^                           │
   └───────────────────(the probe succeeds)───────────────────┼───────────────────────────┤
                                                              └──(the probe fails)────────┘
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class State(IntEnum):
    """Where a breaker stands; the number is its metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker(Protocol):
    """Decides whether a call may be tried; is told how each that was went."""

    def wait_s(self) -> float:
        """0 when a call may be tried now, which counts as its beginning; else seconds until it may."""
        ...

    def succeeded(self) -> None:
        """A call that was allowed was answered, be it with a refusal."""
        ...

    def failed(self) -> None:
        """A call that was allowed was not answered."""
        ...


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a breaker opens, and for how long.

    Attributes:
        consecutive: failures in a row that open it.
        ratio: part of the latest calls that must have failed to open it, when at least `window` were made.
        window: how many of the latest calls count.
        open_s: seconds before a probe.
        probe_s: seconds after which a probe that says nothing counts as lost.
    """

    consecutive: int = 5
    ratio: float = 0.5
    window: int = 20
    open_s: float = 1.0
    probe_s: float = 10.0


class CircuitBreaker:
    """The breaker in front of one service.

    Args:
        thresholds: when it opens.
        monotonic: a clock that never goes back, in seconds.
        changed: told of each new state.
    """

    def __init__(
        self,
        thresholds: Thresholds | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        changed: Callable[[State], None] | None = None,
    ) -> None:
        self._thresholds = thresholds or Thresholds()
        self._monotonic = monotonic
        self._changed = changed or (lambda _state: None)
        self._latest: deque[bool] = deque(maxlen=self._thresholds.window)
        self._in_a_row = 0
        self._until = 0.0
        self.state = State.CLOSED

    def wait_s(self) -> float:
        """0 when a call may be tried now, which counts as its beginning; else seconds until it may."""
        if self.state is State.CLOSED:
            return 0.0
        left = self._until - self._monotonic()
        if left > 0:
            return left
        # One probe at a time: until it has ended, or is lost, nobody else gets through.
        self._until = self._monotonic() + self._thresholds.probe_s
        self._enter(State.HALF_OPEN)
        return 0.0

    def succeeded(self) -> None:
        """A call that was allowed was answered, be it with a refusal."""
        if self.state is State.CLOSED:
            self._in_a_row = 0
            self._latest.append(False)
        else:
            self._latest.clear()
            self._in_a_row = 0
            self._enter(State.CLOSED)

    def failed(self) -> None:
        """A call that was allowed was not answered."""
        if self.state is State.OPEN:
            return  # it began before the breaker opened
        if self.state is State.CLOSED:
            self._in_a_row += 1
            self._latest.append(True)
            if not self._has_failed_too_often():
                return
        self._until = self._monotonic() + self._thresholds.open_s
        self._enter(State.OPEN)

    def _has_failed_too_often(self) -> bool:
        limits = self._thresholds
        if self._in_a_row >= limits.consecutive:
            return True
        return len(self._latest) == limits.window and sum(self._latest) >= limits.ratio * limits.window

    def _enter(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._changed(state)
