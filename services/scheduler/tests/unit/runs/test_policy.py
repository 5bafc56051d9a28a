"""When a failed attempt is made again, as the action says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from rota_scheduler.actions.retries import timeout_of, within
from rota_scheduler.runs.domain import Failed, Run, next_attempt_at

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def run_of(attempts: int = 1, **retry: Any) -> Run:
    some = UUID(int=1)
    return Run(
        workspace_id=some,
        id=some,
        schedule_id=some,
        nominal_time=NOW,
        action={"create_task": None, "http": {"url": "https://example.com/"}, "retry": retry or None},
        acts_for=some,
        available_at=NOW,
        attempts=attempts,
        started_at=NOW,
    )


def delay_s(run: Run, failed: Failed, *, now: datetime = NOW) -> float | None:
    at = next_attempt_at(run, failed, now=now, jitter=lambda _low, high: high)
    return None if at is None else (at - now).total_seconds()


AWAY = Failed("away", retryable=True, cause="503")


def test_the_delays_are_those_of_the_policy() -> None:
    policy = {"max_attempts": 5, "first_delay_s": 10, "factor": 1.5, "max_delay_s": 20}
    assert [delay_s(run_of(attempts, **policy), AWAY) for attempts in range(1, 6)] == [10, 15, 20, 20, None]


def test_no_attempt_begins_after_the_greatest_age() -> None:
    run = run_of(max_age_s=60, first_delay_s=30)
    assert delay_s(run, AWAY, now=NOW + timedelta(seconds=30)) == 30
    assert delay_s(run, AWAY, now=NOW + timedelta(seconds=31)) is None


@pytest.mark.parametrize(
    ("cause", "may_pass", "retry_on", "again"),
    [
        ("503", True, [], True),
        ("404", False, [], False),
        ("503", True, ["timeout"], False),
        ("404", False, ["404"], True),
        ("409", False, ["400-499"], True),
        ("timeout", True, ["connection", "500-599"], False),
        ("timeout", True, ["timeout"], True),
        ("connection", True, ["connection"], True),
        (None, False, ["timeout", "100-599"], False),
    ],
    ids=["default", "final", "not-named", "code", "range", "other", "timeout", "connection", "no-policy-speaks-of-it"],
)
def test_what_is_tried_again_is_what_the_policy_names(
    cause: str | None, *, may_pass: bool, retry_on: list[str], again: bool
) -> None:
    failed = Failed("no", retryable=may_pass, cause=cause)
    assert (delay_s(run_of(retry_on=retry_on), failed) is not None) is again


def test_an_action_without_a_policy_has_the_default_whatever_its_version() -> None:
    run = replace(run_of(), action={"create_task": None, "http": {"url": "https://example.com/"}})
    assert (delay_s(run, AWAY), run.kind, timeout_of(run.action)) == (2, "http", 10)
    assert timeout_of({"timeout_s": 300}) == 300


def test_ranges_include_their_ends() -> None:
    assert [within(status, ["200-204", "304"]) for status in (199, 200, 204, 205, 304)] == [
        False,
        True,
        True,
        False,
        True,
    ]
