"""Jobs whose last attempt has ended without a word: they fail, also when nobody claims from their queue any more.

Two at once: each takes what the other has not locked. Whoever dies after taking a job and before its end leaves it
with a lease that ends once more, and another takes it then. A worker that is late may still keep its job, for
`GRACE`; after that it is refused, as after any other claim. While no scheduler was there none could be heard of: so
nothing is taken until `GRACE` after its start.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from rota_chassis.batches import handle_batch

from rota_scheduler.queues import store
from rota_scheduler.queues.commands import fail_spent
from rota_scheduler.runs.domain import LEASE
from rota_scheduler.runs.giving_up import give_up
from rota_scheduler.runs.tables import run_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_chassis.batches import Fault
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.queues.dependencies import Queues
    from rota_scheduler.runs.domain import Run

GRACE = timedelta(seconds=10)
BATCH = 100
# More than the clocks of replicas differ by, and than a transaction lasts.
_LOOKED_BACK = timedelta(minutes=5)


class Losing:
    """Lets such jobs fail. What has been looked at is not looked at again: it changes only when it is claimed."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._from = queues.clock.now() + GRACE
        self._since = datetime.min.replace(tzinfo=UTC)

    async def tick(self) -> datetime | None:
        """Let a batch of them fail; when to tick next."""
        now = self._queues.clock.now()
        if now < self._from:
            return self._from
        taken = 0

        async def take(work: UnitOfWork, limit: int) -> Sequence[Mapping[str, Any]]:
            nonlocal taken
            rows = await store.take_spent(
                work, since=self._since, until=now - GRACE, lease_until=now + LEASE, limit=limit
            )
            taken = len(rows)
            return rows

        async def read(_: UnitOfWork, rows: Sequence[Mapping[str, Any]]) -> list[Run]:
            return [run_of(row) for row in rows]

        spent = await handle_batch(
            self._queues.database, "run", most=BATCH, take=take, handle=read, set_aside=partial(_set_aside, now=now)
        )
        if spent is None:
            return now
        await fail_spent(self._queues, spent)
        if taken == BATCH:
            return now
        self._since = now - GRACE - _LOOKED_BACK
        return None


async def _set_aside(work: UnitOfWork, row: Mapping[str, Any], fault: Fault, *, now: datetime) -> None:
    # The transaction that took it is undone, its fence with it.
    await give_up(work, row, fault, fence=row["fence"] - 1, now=now)
