"""The delay before another attempt."""

from __future__ import annotations

from rota_scheduler.runs.domain import retry_delay


def most(_low: float, high: float) -> float:
    return high


def least(low: float, _high: float) -> float:
    return low


def test_the_delay_grows_exponentially_and_ends_after_five_attempts() -> None:
    delays = [retry_delay(attempts, most) for attempts in range(1, 6)]
    assert [delay and delay.total_seconds() for delay in delays] == [2, 8, 32, 128, None]


def test_the_jitter_is_full() -> None:
    delay = retry_delay(4, least)
    assert delay is not None
    assert delay.total_seconds() == 0
