"""rota.tasks.v1.RequestService.

Two at once forget different calls; dying in between leaves the rest to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.tasks.v1 import requests_pb2, requests_pb2_grpc
from rota_chassis.events.inbox import INBOX_KEPT

from rota_tasks.requests import store

if TYPE_CHECKING:
    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database

REQUESTS_KEPT = INBOX_KEPT
"""Nobody repeats a call later: clients by far not, and services only while an event can be delivered again."""
_DEFAULT_LIMIT = 1_000


class RequestServicer(requests_pb2_grpc.RequestServiceServicer):
    """Serves the clean-up of what is remembered of calls."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def ForgetRequests(
        self, request: requests_pb2.ForgetRequestsRequest, _context: Any
    ) -> requests_pb2.ForgetRequestsResponse:
        before = self._clock.now() - REQUESTS_KEPT
        async with self._database.transaction() as work:
            forgotten = await store.forget(work, before=before, limit=request.limit or _DEFAULT_LIMIT)
        return requests_pb2.ForgetRequestsResponse(forgotten=forgotten)
