"""What becomes of a mail after each try."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from rota_notifications.email import domain
from rota_notifications.email.domain import GIVE_UP_AFTER, MAX_ATTEMPTS, Delivery, State

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)
DELIVERY = Delivery(
    workspace_id=uuid4(),
    id=uuid4(),
    notification_id=uuid4(),
    user_id=uuid4(),
    kind="task.due",
    title="Due: x",
    body="",
    created_at=NOW,
    attempts=1,
    fence=1,
)


def longest(most: float) -> float:
    return most


def test_retries_grow_and_end_after_about_an_hour() -> None:
    waits = []
    for attempt in range(1, MAX_ATTEMPTS):
        outcome = domain.deferred(replace(DELIVERY, attempts=attempt), "busy", now=NOW, jitter=longest)
        assert outcome.state is State.PENDING
        assert outcome.next_attempt_at is not None
        waits.append(outcome.next_attempt_at - NOW)
    assert waits == sorted(waits)
    assert timedelta(minutes=50) < sum(waits, timedelta()) < timedelta(minutes=75)
    last = domain.deferred(replace(DELIVERY, attempts=MAX_ATTEMPTS), "busy", now=NOW, jitter=longest)
    assert (last.state, last.next_attempt_at, last.last_error) == (State.FAILED, None, "busy")


def test_the_whole_delay_is_jittered() -> None:
    outcome = domain.deferred(replace(DELIVERY, attempts=5), "busy", now=NOW, jitter=lambda _most: 0)
    assert outcome.next_attempt_at == NOW


def test_a_server_that_is_down_costs_no_attempt_but_news_of_yesterday_are_given_up() -> None:
    tried = replace(DELIVERY, attempts=MAX_ATTEMPTS + 3)
    outcome = domain.postponed(tried, "down", now=NOW, delay_s=5)
    assert (outcome.state, outcome.attempts) == (State.PENDING, tried.attempts - 1)
    assert outcome.next_attempt_at == NOW + timedelta(seconds=5)
    assert domain.postponed(tried, "down", now=NOW + GIVE_UP_AFTER, delay_s=5).state is State.FAILED


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    outcome = domain.refused(DELIVERY, "no such mailbox" * 100)
    assert (outcome.state, outcome.next_attempt_at) == (State.FAILED, None)
    assert outcome.last_error is not None
    assert len(outcome.last_error) == 500


def test_an_accepted_mail_is_sent() -> None:
    outcome = domain.accepted(DELIVERY, now=NOW)
    assert (outcome.state, outcome.sent_at, outcome.next_attempt_at) == (State.SENT, NOW, None)
