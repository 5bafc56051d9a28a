"""Forgetting the events that a service has handled, once they cannot be delivered again.

Two at once forget different rows; dying in between leaves the rest to the next.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rota.events.v1 import inbox_pb2, inbox_pb2_grpc
from sqlalchemy import DateTime, Integer, bindparam, delete, select, tuple_

from rota_chassis.events.consumer import INBOX
from rota_chassis.events.stream import EVENTS_KEPT_S
from rota_chassis.postgres.statements import statement

if TYPE_CHECKING:
    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database

# Longer than events can be delivered again.
INBOX_KEPT = timedelta(seconds=EVENTS_KEPT_S) + timedelta(days=10)
_DEFAULT_LIMIT = 1_000
_KEY = tuple_(INBOX.c.workspace_id, INBOX.c.consumer, INBOX.c.event_id)
FORGET_HANDLED = statement(
    delete(INBOX).where(
        _KEY.in_(
            select(INBOX.c.workspace_id, INBOX.c.consumer, INBOX.c.event_id)
            .where(INBOX.c.received_at < bindparam("horizon", type_=DateTime(timezone=True)))
            .limit(bindparam("limit", type_=Integer))
            .with_for_update(skip_locked=True)
        )
    )
)
"""Forget at most `limit` events that were handled before `horizon`."""


class InboxServicer(inbox_pb2_grpc.InboxServiceServicer):
    """Serves the clean-up of a service's inbox."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def ForgetHandledEvents(  # noqa: N802 (named by the contract)
        self, request: inbox_pb2.ForgetHandledEventsRequest, _context: Any
    ) -> inbox_pb2.ForgetHandledEventsResponse:
        """Forget some."""
        horizon = self._clock.now() - INBOX_KEPT
        async with self._database.transaction() as work:
            forgotten = await work.execute(FORGET_HANDLED, horizon=horizon, limit=request.limit or _DEFAULT_LIMIT)
        return inbox_pb2.ForgetHandledEventsResponse(forgotten=forgotten)
