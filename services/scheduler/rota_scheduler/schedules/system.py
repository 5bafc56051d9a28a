"""The schedules of the system itself: they clean up.

They are in a workspace of their own, to which no user belongs. Administrators see them and change them as its one
member would, which a row in the copy of memberships says; the log says who did it. Each replica makes those that lack
when it starts; their ids are fixed, so that each is made once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.events.v1 import events_pb2
from rota_chassis.errors import Conflict
from rota_chassis.identity import ROLE_ADMIN
from rota_chassis.memberships import ADMIN, MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import insert

from rota_scheduler.schedules import store
from rota_scheduler.schedules.domain import SYSTEM_WORKSPACE, Schedule, cursor_of
from rota_scheduler.schedules.messages import event_of
from rota_scheduler.schedules.policies import Overlap, Policies
from rota_scheduler.schedules.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.database import Database

USER = UUID(int=0)
"""The one member of the workspace of the system."""
TIMEOUT_S = 300
# Version 7, of the first milliseconds of 1970: older than any other.
_FIRST_ID = 0x7000_8000_0000_0000_0000
_CLEANUPS = (
    ("Purge the trash", "17 * * * *", "trash"),
    ("Forget sessions that are over", "37 * * * *", "sessions"),
    ("Forget old history", "40 3 * * *", "history"),
)
IDS = tuple(UUID(int=_FIRST_ID + place) for place in range(len(_CLEANUPS)))
_CATCH_UP_S = 86_400
_JOIN = statement(
    insert(MEMBERSHIPS).values({each.name: bindparam(each.name) for each in MEMBERSHIPS.c}).on_conflict_do_nothing()
)


def as_seen(user: UserPrincipal, schedule_id: UUID) -> UUID:
    """As whom a user asks for a schedule: for those of the system, an administrator as its one member."""
    return USER if user.role == ROLE_ADMIN and schedule_id in IDS else user.user_id


def refused(detail: str) -> Conflict:
    """The answer to who asks of a schedule of the system what is not to be done with it."""
    return Conflict(detail, code="SYSTEM_SCHEDULE")


async def ensure_system_schedules(database: Database, clock: Clock, *, on_due: Callable[[], None]) -> None:
    """Make the schedules of the system that are not there; those that are stay as they are.

    Raises:
        Unavailable: the database does not answer.
    """
    now = clock.now()
    async with database.transaction() as work:
        await work.execute(_JOIN, workspace_id=SYSTEM_WORKSPACE, user_id=USER, role=ADMIN, version=1, removed=False)
        for schedule in _schedules(now):
            if await store.add_unless_there(work, schedule):
                work.append(event_of(events_pb2.ScheduleCreated, schedule, now))
    on_due()


def _schedules(now: datetime) -> list[Schedule]:
    policies = Policies(overlap=Overlap.SKIP, catch_up_s=_CATCH_UP_S)
    return [
        Schedule(
            id=schedule_id,
            workspace_id=SYSTEM_WORKSPACE,
            name=name,
            timing=Timing(cron=cron),
            policies=policies,
            action=_action(what),
            next_fire_at=cursor_of(Timing(cron=cron), policies, created_at=now, now=now, seed=str(schedule_id)),
            created_by=USER,
            created_at=now,
            updated_at=now,
        )
        for schedule_id, (name, cron, what) in zip(IDS, _CLEANUPS, strict=True)
    ]


def _action(what: str) -> dict[str, Any]:
    return {"cleanup": {"what": what}, "timeout_s": TIMEOUT_S}
