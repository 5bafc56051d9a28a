"""The rate limiter: its interface, and what its decisions look like in headers and problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rota_gateway.metrics import RATE_LIMITED
from rota_gateway.problems import refusal, retry_after

if TYPE_CHECKING:
    from rota_gateway.ratelimit.gcra import Quota


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a call may be made.

    Attributes:
        allowed: whether it may.
        quota: the limit it was held against.
        remaining: calls that may be made right after it.
        wait_s: seconds until a call may be made, 0 when it may be now.
    """

    allowed: bool
    quota: Quota
    remaining: int
    wait_s: float = 0.0

    def headers(self) -> dict[bytes, bytes]:
        """The fields of draft-ietf-httpapi-ratelimit-headers-10: `q` calls in `w` seconds; `r` are left.

        `t` says in how many seconds the quota is whole again, or when none is left, one call is.
        """
        quota = self.quota
        if self.remaining:
            whole_s = (quota.limit - self.remaining) * quota.window_s // quota.limit
        else:
            whole_s = int(retry_after(self.wait_s))
        return {
            b"ratelimit-policy": b'"%b";q=%d;w=%d' % (quota.name.encode(), quota.limit, quota.window_s),
            b"ratelimit": b'"%b";r=%d;t=%d' % (quota.name.encode(), self.remaining, whole_s),
        }


class RateLimiter(Protocol):
    """Counts calls."""

    async def take(self, key: str, quota: Quota) -> Decision:
        """Count one call of `key` against a quota; never fails, whatever is down."""
        ...


def refuse_if_over(decision: Decision) -> None:
    """Raise the 429 problem of a decision against the call."""
    if not decision.allowed:
        RATE_LIMITED.labels(decision.quota.name).inc()
        seconds = retry_after(decision.wait_s)
        raise refusal(
            429,
            "RATE_LIMITED",
            f"Too many calls of the class '{decision.quota.name}'; try again in {seconds} s.",
            retry_after=seconds,
        )
