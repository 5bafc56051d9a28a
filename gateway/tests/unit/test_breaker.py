from __future__ import annotations

from rota_gateway.breaker import CircuitBreaker, State, Thresholds


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(time: Time, changes: list[State] | None = None) -> CircuitBreaker:
    """A breaker that has just opened."""
    breaker = CircuitBreaker(
        Thresholds(consecutive=3, open_s=2, probe_s=10), monotonic=time, changed=(changes or []).append
    )
    for _ in range(3):
        assert breaker.wait_s() == 0
        breaker.failed()
    return breaker


def test_failures_in_a_row_open_it() -> None:
    assert opened(Time()).wait_s() == 2


def test_an_answer_between_failures_keeps_it_closed() -> None:
    breaker = CircuitBreaker(Thresholds(consecutive=3, window=100), monotonic=Time())
    for _ in range(30):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.wait_s() == 0


def test_too_large_a_part_of_failures_opens_it() -> None:
    breaker = CircuitBreaker(Thresholds(consecutive=5, window=10, ratio=0.5), monotonic=Time())
    for _ in range(9):
        breaker.succeeded()
    for _ in range(4):
        breaker.failed()
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    breaker.failed()
    assert breaker.state is State.OPEN


def test_one_probe_gets_through_after_a_while_and_its_success_closes_it() -> None:
    time = Time()
    breaker = opened(time)
    time.now = 2
    assert breaker.wait_s() == 0
    assert breaker.state is State.HALF_OPEN
    assert breaker.wait_s() == 10
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.wait_s() == 0


def test_a_probe_that_fails_opens_it_again() -> None:
    time = Time()
    breaker = opened(time)
    time.now = 2
    breaker.wait_s()
    breaker.failed()
    assert breaker.wait_s() == 2


def test_a_probe_that_never_ends_is_followed_by_another() -> None:
    time = Time()
    breaker = opened(time)
    time.now = 2
    breaker.wait_s()
    time.now = 12
    assert breaker.wait_s() == 0


def test_calls_that_began_before_it_opened_do_not_keep_it_open() -> None:
    time = Time()
    breaker = opened(time)
    time.now = 1.9
    breaker.failed()
    time.now = 2
    assert breaker.wait_s() == 0


def test_each_change_is_told_once() -> None:
    time, changes = Time(), []
    breaker = CircuitBreaker(Thresholds(consecutive=1, open_s=2), monotonic=time, changed=changes.append)
    breaker.failed()
    breaker.failed()
    time.now = 2
    breaker.wait_s()
    breaker.succeeded()
    breaker.succeeded()
    assert changes == [State.OPEN, State.HALF_OPEN, State.CLOSED]
