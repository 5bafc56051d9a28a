"""When a failed attempt is made again, and how long an attempt may take: what an action says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MEMBERS = frozenset({"retry", "timeout_s"})
"""The members of rota.scheduler.v1.Action that say so; the others are what is done."""
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The fields are those of rota.scheduler.v1.RetryPolicy.

    Attributes:
        retry_on: Empty means that the action knows what may pass.
    """

    max_attempts: int = 5
    first_delay_s: float = 2.0
    factor: float = 4.0
    max_delay_s: float = 300.0
    max_age_s: float | None = None
    retry_on: tuple[str, ...] = ()

    @classmethod
    def of(cls, action: Mapping[str, Any]) -> RetryPolicy:
        """The policy of an action in its JSON form."""
        given = action.get("retry") or {}
        return cls(
            **{name: value for name, value in given.items() if name != "retry_on" and value is not None},
            retry_on=tuple(given.get("retry_on") or ()),
        )

    def retries(self, cause: str | None, *, may_pass: bool) -> bool:
        """Whether to try again after a failure.

        Args:
            cause: "timeout", "connection" or an HTTP status code; None for what no policy speaks of.
            may_pass: What the action thinks of it.
        """
        if not self.retry_on or cause is None:
            return may_pass
        if cause.isdigit():
            return within(int(cause), (each for each in self.retry_on if each[0].isdigit()))
        return cause in self.retry_on

    def most_delay_s(self, attempts: int) -> float:
        """The longest delay after so many attempts."""
        return float(min(self.first_delay_s * self.factor ** (attempts - 1), self.max_delay_s))


def timeout_of(action: Mapping[str, Any]) -> float:
    """Seconds that an attempt at the action may take."""
    return float(action.get("timeout_s") or TIMEOUT_S)


def within(status: int, ranges: Iterable[str]) -> bool:
    """Whether an HTTP status code is one of "304" or in one of "200-299"."""
    for each in ranges:
        first, _, last = each.partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False
