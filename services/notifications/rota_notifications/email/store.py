"""Deliveries in PostgreSQL.

`next_attempt_at` says when a sender may take a delivery: while it is pending, the time of the next try; while it is
being sent, the end of the sender's lease; never again once it is sent or failed. Claiming is one atomic statement that
raises the fence, and an outcome is written only under the fence it was claimed with. The queue is the service's own
work, so that claiming runs across workspaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.ids import uuid7
from rota_chassis.postgres.statements import statement
from rota_chassis.private_projects import hidden
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_notifications.email.domain import LEASE, Delivery, State
from rota_notifications.notifications.store import NOTIFICATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_notifications.email.domain import Outcome
    from rota_notifications.notifications.domain import Notification

DELIVERIES = Table(
    "email_deliveries",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("notification_id", PgUUID),
    Column("invitation_id", PgUUID),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("last_error", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("sent_at", DateTime(timezone=True)),
    Column("project_id", PgUUID),
)
_WRITTEN = (
    "workspace_id",
    "id",
    "notification_id",
    "invitation_id",
    "state",
    "attempts",
    "fence",
    "next_attempt_at",
    "created_at",
    "project_id",
)

_INSERT = statement(insert(DELIVERIES).values({name: bindparam(name) for name in _WRITTEN}))
_IS_CLAIMED = (
    DELIVERIES.c.workspace_id == bindparam("in_workspace"),
    DELIVERIES.c.id == bindparam("this_id"),
    DELIVERIES.c.fence == bindparam("claimed_fence"),
    DELIVERIES.c.state == State.SENDING.value,
)
_DUE = (
    select(DELIVERIES.c.workspace_id, DELIVERIES.c.id)
    .where(DELIVERIES.c.next_attempt_at <= bindparam("now"))
    .order_by(DELIVERIES.c.next_attempt_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_CLAIMED = (
    update(DELIVERIES)
    .where(DELIVERIES.c.workspace_id == _DUE.c.workspace_id, DELIVERIES.c.id == _DUE.c.id)
    .values(
        state=State.SENDING.value,
        attempts=DELIVERIES.c.attempts + 1,
        fence=DELIVERIES.c.fence + 1,
        next_attempt_at=bindparam("lease_until"),
    )
    .returning(
        DELIVERIES.c.workspace_id,
        DELIVERIES.c.id,
        DELIVERIES.c.notification_id,
        DELIVERIES.c.invitation_id,
        DELIVERIES.c.created_at,
        DELIVERIES.c.attempts,
        DELIVERIES.c.fence,
        DELIVERIES.c.project_id,
    )
    .cte("claimed")
)
# The user is not told of what they may not see by now, however long the mail server was down.
_CLAIM = statement(
    select(
        *(column for column in _CLAIMED.c if column.name != "project_id"),
        hidden(_CLAIMED.c.workspace_id, _CLAIMED.c.project_id, NOTIFICATIONS.c.user_id).label("hidden"),
        NOTIFICATIONS.c.user_id,
        *(func.coalesce(NOTIFICATIONS.c[name], "").label(name) for name in ("kind", "title", "body")),
    ).join_from(
        _CLAIMED,
        NOTIFICATIONS,
        (NOTIFICATIONS.c.workspace_id == _CLAIMED.c.workspace_id) & (NOTIFICATIONS.c.id == _CLAIMED.c.notification_id),
        isouter=True,
    )
)
_SETTLE = statement(
    update(DELIVERIES)
    .where(*_IS_CLAIMED)
    .values(
        {name: bindparam(f"new_{name}") for name in ("state", "attempts", "next_attempt_at", "last_error", "sent_at")}
    )
    .returning(DELIVERIES.c.id)
)
_RENEW = statement(update(DELIVERIES).where(*_IS_CLAIMED).values(next_attempt_at=bindparam("lease_until")))
_NEXT = statement(select(func.min(DELIVERIES.c.next_attempt_at)))


async def add(
    work: UnitOfWork, notifications: Sequence[Notification], *, now: datetime, project_id: UUID | None = None
) -> None:
    """Queue a mail for each of the notifications, which tell of something in a project, if in any."""
    await work.execute_many(
        _INSERT,
        [_new(each.workspace_id, now=now, notification_id=each.id, project_id=project_id) for each in notifications],
    )


async def add_invitation(work: UnitOfWork, *, workspace_id: UUID, invitation_id: UUID, now: datetime) -> None:
    """Queue the mail of an invitation."""
    await work.execute(_INSERT, **_new(workspace_id, now=now, invitation_id=invitation_id))


async def claim(database: Database, *, limit: int, now: datetime) -> Sequence[Delivery]:
    """Take at most `limit` due deliveries for the time of a lease; nobody else takes them meanwhile."""
    rows = await database.fetch(_CLAIM, limit=limit, now=now, lease_until=now + LEASE)
    return [Delivery(**row) for row in rows]


async def renew(database: Database, deliveries: Sequence[Delivery], *, now: datetime) -> None:
    """Keep claimed deliveries for the time of another lease; those that are settled or lost stay as they are."""
    async with database.transaction() as work:
        await work.execute_many(
            _RENEW, [{**_claim_of(delivery), "lease_until": now + LEASE} for delivery in deliveries]
        )


async def settle(database: Database, delivery: Delivery, outcome: Outcome) -> bool:
    """Write what became of a claimed delivery; False when the claim is no longer the latest, or the row is gone."""
    # One statement, one round trip: until it has committed, a crash means that the mail is sent again.
    settled = await database.fetch_value(
        _SETTLE,
        **_claim_of(delivery),
        new_state=outcome.state.value,
        new_attempts=outcome.attempts,
        new_next_attempt_at=outcome.next_attempt_at,
        new_last_error=outcome.last_error,
        new_sent_at=outcome.sent_at,
    )
    return settled is not None


async def next_due(database: Database) -> datetime | None:
    """When the next delivery may be taken; None when none waits."""
    at: datetime | None = await database.fetch_value(_NEXT)
    return at


def _new(
    workspace_id: UUID,
    *,
    now: datetime,
    notification_id: UUID | None = None,
    invitation_id: UUID | None = None,
    project_id: UUID | None = None,
) -> dict[str, Any]:
    return {
        "workspace_id": workspace_id,
        "id": uuid7(),
        "notification_id": notification_id,
        "invitation_id": invitation_id,
        "state": State.PENDING.value,
        "attempts": 0,
        "fence": 0,
        "next_attempt_at": now,
        "created_at": now,
        "project_id": project_id,
    }


def _claim_of(delivery: Delivery) -> dict[str, Any]:
    return {"in_workspace": delivery.workspace_id, "this_id": delivery.id, "claimed_fence": delivery.fence}
