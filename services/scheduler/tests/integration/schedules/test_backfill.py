"""What the ledger says of skipped times that are backfilled."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
from rota_chassis.identity import UserPrincipal
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS, Memberships
from rota_chassis.postgres.statements import statement
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.ledger import store as ledger
from rota_scheduler.schedules import store
from rota_scheduler.schedules.backfill import Backfilled, backfill_schedule
from rota_scheduler.schedules.catchup import Skip
from rota_scheduler.schedules.dependencies import Schedules
from rota_scheduler.schedules.domain import Schedule
from rota_scheduler.schedules.policies import SkipReason
from rota_scheduler.schedules.timing import Timing
from sqlalchemy import bindparam, insert

if TYPE_CHECKING:
    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock

_JOIN = statement(insert(MEMBERSHIPS).values({column.name: bindparam(column.name) for column in MEMBERSHIPS.c}))


async def test_what_was_skipped_and_is_backfilled_has_one_account_and_what_was_skipped_beside_it_keeps_its_own(
    database: Database, clock: ManualClock
) -> None:
    start = clock.now()
    user = UserPrincipal(user_id=uuid7(), workspace_id=uuid7(), role="user", session_id=None)
    schedule = Schedule(
        id=uuid7(),
        workspace_id=user.workspace_id,
        name="Plants",
        timing=Timing(interval_s=10),
        action={"create_task": {"title": "Water the plants"}, "http": None},
        next_fire_at=start + timedelta(seconds=1010),
        created_by=user.user_id,
        created_at=start,
        updated_at=start,
    )

    def at(seconds: int) -> object:
        return start + timedelta(seconds=seconds)

    async with database.transaction() as work:
        await work.execute(
            _JOIN, workspace_id=user.workspace_id, user_id=user.user_id, role="owner", version=1, removed=False
        )
        await store.add(work, schedule)
        skipped = [
            Skip(start + timedelta(seconds=10), start + timedelta(seconds=900), SkipReason.CATCH_UP),
            *(
                Skip(start + timedelta(seconds=each), start + timedelta(seconds=each), SkipReason.PAUSED)
                for each in range(910, 1010, 10)
            ),
        ]
        await ledger.add(work, [(schedule, skip) for skip in skipped])
    clock.advance(1001)

    def nothing() -> None:
        """Nobody waits."""

    memberships = Memberships(database, grpc.aio.insecure_channel("unix:nobody"))
    egress = EgressPolicy(allow_private=True)
    schedules = Schedules(database, memberships, clock, egress, nothing, nothing, nothing)

    async def backfill(first: int, end: int) -> Backfilled:
        return await backfill_schedule(
            schedules,
            user,
            schedule_id=schedule.id,
            start=start + timedelta(seconds=first),
            end=start + timedelta(seconds=end),
            one_by_one=True,
            dry_run=False,
        )

    assert await backfill(400, 430) == Backfilled(3, 3)
    assert await backfill(980, 1001) == Backfilled(3, 3)
    entries = await ledger.page(
        database,
        workspace_id=schedule.workspace_id,
        schedule_id=schedule.id,
        start=None,
        end=None,
        after=None,
        limit=100,
    )
    found = [(entry.nominal_time, entry.through, entry.backfilled) for entry in entries]
    assert found == [
        (at(10), at(390), False),
        *((at(each), None, True) for each in (400, 410, 420)),
        (at(430), at(900), False),
        *((at(each), None, False) for each in range(910, 980, 10)),
        *((at(each), None, True) for each in (980, 990, 1000)),
    ]
