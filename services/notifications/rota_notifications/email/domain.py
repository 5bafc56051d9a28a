"""A mail on its way, and what becomes of it after each try.

    pending ──claim──> sending ──accepted──> sent
       ^                  │ ├────refused───> failed
       └─────deferred─────┘ └─lease over: whoever claims next takes it over

Pure: each function returns what to write about the delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    # Chooses a number between 0 and its argument: `lambda most: random.uniform(0, most)`.
    Jitter = Callable[[float], float]

LEASE = timedelta(seconds=10)
MAX_ATTEMPTS = 8
GIVE_UP_AFTER = timedelta(days=1)
_FIRST_DELAY_S, _GROWTH, _LONGEST_DELAY_S = 1.0, 4.0, 2700.0
_ERROR_KEPT = 500


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A claimed delivery, with what to send.

    Attributes:
        workspace_id: The tenant.
        id: Identity; the same at every try, and the mail's Message-ID with it.
        notification_id: What it tells of; None for an invitation.
        user_id: Whom it is for; their address is looked up at each try. None for an invitation.
        kind: Kind of the notification.
        title: Title of the notification.
        body: Body of the notification.
        invitation_id: The invitation it is of, if it is of one: auth says at each try to whom it goes and what it says.
        created_at: When it was queued.
        attempts: Tries so far, this one included.
        fence: Number of this claim; a later claim has a higher one, and then this one may write no more.
        hidden: Whether it tells of something in a project that the user may not see any more.
    """

    workspace_id: UUID
    id: UUID
    notification_id: UUID | None
    user_id: UUID | None
    kind: str
    title: str
    body: str
    created_at: datetime
    attempts: int
    fence: int
    invitation_id: UUID | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a try led to.

    Attributes:
        state: Where the delivery stands now.
        attempts: Tries that count.
        next_attempt_at: When to try again; set exactly while it is pending.
        last_error: What went wrong, if anything.
        sent_at: When the mail server took it, if it did.
    """

    state: State
    attempts: int
    next_attempt_at: datetime | None = None
    last_error: str | None = None
    sent_at: datetime | None = None


def accepted(delivery: Delivery, *, now: datetime) -> Outcome:
    """The mail server took the mail."""
    return Outcome(state=State.SENT, attempts=delivery.attempts, sent_at=now)


def refused(delivery: Delivery, error: str) -> Outcome:
    """The mail can never be sent."""
    return Outcome(state=State.FAILED, attempts=delivery.attempts, last_error=error[:_ERROR_KEPT])


def deferred(delivery: Delivery, error: str, *, now: datetime, jitter: Jitter) -> Outcome:
    """The mail was not taken this time: try again after a growing delay, `MAX_ATTEMPTS` times within about an hour.

    The delay is drawn from zero to its bound ("full jitter", AWS Architecture Blog 2015), so that mails that failed
    together do not come again together.
    """
    if delivery.attempts >= MAX_ATTEMPTS:
        return refused(delivery, error)
    bound = min(_FIRST_DELAY_S * _GROWTH ** (delivery.attempts - 1), _LONGEST_DELAY_S)
    return _later(error, at=now + timedelta(seconds=jitter(bound)), attempts=delivery.attempts)


def postponed(delivery: Delivery, error: str, *, now: datetime, delay_s: float) -> Outcome:
    """Nothing could be tried, since a server is down; it does not count, but after a day the mail is no news."""
    if now - delivery.created_at >= GIVE_UP_AFTER:
        return refused(delivery, error)
    return _later(error, at=now + timedelta(seconds=delay_s), attempts=delivery.attempts - 1)


def _later(error: str, *, at: datetime, attempts: int) -> Outcome:
    return Outcome(state=State.PENDING, attempts=attempts, next_attempt_at=at, last_error=error[:_ERROR_KEPT])
