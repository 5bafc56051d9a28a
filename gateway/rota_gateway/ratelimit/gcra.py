"""The generic cell rate algorithm (ITU-T I.371, the "leaky bucket as a meter"), in whole microseconds.

A key has one number, its theoretical arrival time: when a caller who had kept exactly to the rate would make the next
call. A call is allowed when that time is at most one window ahead of now, and moves it on by the interval between two
calls. An unused key needs no memory, and a full quota comes back evenly over the window.
"""

from __future__ import annotations

from dataclasses import dataclass

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """How often something may be done.

    Attributes:
        name: of the policy, for headers and metrics.
        limit: calls that may be made at once.
        window_s: seconds in which as many come back.
    """

    name: str
    limit: int
    window_s: int

    @property
    def interval_us(self) -> int:
        """Microseconds in which one call comes back, at least one."""
        return max(1, self.window_s * MICROSECONDS // self.limit)

    def share(self, part: float) -> Quota:
        """The same window with only a part of the calls, at least one."""
        return Quota(self.name, max(1, int(self.limit * part)), self.window_s)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key got.

    Attributes:
        granted: calls that may be made now, 0 when the key has to wait.
        remaining: calls that would be granted on top.
        wait_us: microseconds until one call would be granted again, 0 while some remain.
    """

    granted: int
    remaining: int
    wait_us: int


def take(quota: Quota, arrival_us: int, now_us: int, wanted: int = 1) -> tuple[Grant, int]:
    """Take up to `wanted` calls.

    Args:
        quota: the limit.
        arrival_us: the key's theoretical arrival time; 0 for a key that was never used.
        now_us: the time now, on the same clock.
        wanted: calls wanted, at least 1.

    Returns:
        The grant, and the key's new theoretical arrival time.
    """
    interval = quota.interval_us
    arrival_us = max(arrival_us, now_us)
    available = (now_us + interval * quota.limit - arrival_us) // interval
    granted = max(0, min(available, wanted))
    arrival_us += granted * interval
    remaining = max(0, available - granted)
    wait_us = 0 if remaining or granted else arrival_us + interval - interval * quota.limit - now_us
    return Grant(granted, remaining, wait_us), arrival_us
