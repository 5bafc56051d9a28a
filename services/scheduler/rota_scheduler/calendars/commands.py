"""What changes calendars.

Two at once: the calendar's row is locked first, so they take turns, and `If-Match` tells the loser. Who makes a
schedule keep to a calendar holds the calendar meanwhile, so that it is neither changed nor deleted unseen. Dying before
the commit leaves nothing; after it the next times of schedules are worked out by whoever lives (`following`). A call
that comes twice with its request id returns the calendar of the first.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from rota.events.v1 import events_pb2
from rota_chassis.errors import Conflict, InvalidArgument, PreconditionFailed, Unprocessable, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_scheduler.calendars import domain, queries, store
from rota_scheduler.calendars.domain import Calendar, RefusedCalendar
from rota_scheduler.calendars.messages import event_of
from rota_scheduler.schedules import store as schedules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.calendars.dependencies import Calendars

ANY_ETAG = "*"
_NAMED = 5


async def create_calendar(
    calendars: Calendars, user: UserPrincipal, *, workspace_id: UUID, members: Mapping[str, Any], request_id: str = ""
) -> Calendar:
    """Create a calendar.

    Args:
        calendars: What it needs.
        user: Who creates it.
        workspace_id: Where.
        members: Of `Calendar`: name, and its days.
        request_id: With the same one again, it is the same calendar.

    Raises:
        InvalidArgument: its days are none (code INVALID_CALENDAR or UNKNOWN_TIME_ZONE).
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Unprocessable: the request id was used for another calendar (code REQUEST_ID_REUSED).
    """
    now = calendars.clock.now()
    calendar = Calendar(
        id=uuid7(), workspace_id=workspace_id, created_by=user.user_id, created_at=now, updated_at=now, **members
    )
    await _check(calendar)
    await calendars.memberships.require(user.user_id, workspace_id, WRITERS)
    key = f"{user.user_id}/{request_id}" if request_id else None
    fingerprint = hashlib.sha256(orjson.dumps(dict(members), option=orjson.OPT_SORT_KEYS)).digest() if key else None
    async with calendars.database.transaction() as work:
        if await store.add(work, calendar, request_key=key, fingerprint=fingerprint):
            work.append(event_of(events_pb2.CalendarCreated, calendar, now))
            return calendar
        first = await store.requested(work, workspace_id=workspace_id, request_key=key or "")
    if first is None:
        raise Conflict("The calendar of this idempotency key has just been deleted; try again.", code="TRY_AGAIN")
    if first[1] != fingerprint:
        raise Unprocessable(
            "This idempotency key was used for another calendar; use a new one.", code="REQUEST_ID_REUSED"
        )
    return first[0]


async def replace_calendar(
    calendars: Calendars, user: UserPrincipal, *, calendar_id: UUID, members: Mapping[str, Any], if_match: str = ""
) -> Calendar:
    """Give a calendar other days, or another name.

    Raises:
        InvalidArgument: as for `create_calendar`.
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: its entity tag is another.
    """
    seen = await queries.get_calendar(calendars, user, calendar_id=calendar_id)
    await _check(replace(seen, **members))
    now = calendars.clock.now()
    async with calendars.database.transaction() as work:
        calendar = await _lock(work, user, calendar_id, if_match)
        revised = domain.revise(calendar, members, now=now)
        if revised is not calendar:
            await store.save(work, revised)
            work.append(event_of(events_pb2.CalendarUpdated, revised, now))
    calendars.on_changed()
    return revised


async def delete_calendar(calendars: Calendars, user: UserPrincipal, *, calendar_id: UUID, if_match: str = "") -> None:
    """Delete a calendar that no schedule keeps to.

    Raises:
        NotFound, PermissionDenied, PreconditionFailed: as for `replace_calendar`.
        Conflict: schedules keep to it (code CALENDAR_IN_USE).
    """
    await queries.get_calendar(calendars, user, calendar_id=calendar_id)
    now = calendars.clock.now()
    async with calendars.database.transaction() as work:
        calendar = await _lock(work, user, calendar_id, if_match)
        using = await schedules.using(
            work, workspace_id=calendar.workspace_id, calendar_id=calendar.id, limit=_NAMED + 1
        )
        if using:
            named = ", ".join(f"{name} ({schedule_id})" for schedule_id, name in using[:_NAMED])
            more = " and others" if len(using) > _NAMED else ""
            raise Conflict(
                f"Schedules keep to this calendar: {named}{more}. Take it out of them first.", code="CALENDAR_IN_USE"
            )
        await store.remove(work, calendar)
        work.append(event_of(events_pb2.CalendarDeleted, replace(calendar, version=calendar.version + 1), now))


async def _lock(work: UnitOfWork, user: UserPrincipal, calendar_id: UUID, if_match: str) -> Calendar:
    found = await store.lock(work, user_id=user.user_id, calendar_id=calendar_id)
    if found is None:
        raise queries.no_such_calendar()
    calendar, role = found
    require_role(role, WRITERS)
    if if_match not in ("", ANY_ETAG, calendar.etag):
        raise PreconditionFailed(
            f"The calendar has changed: its entity tag is {calendar.etag}.",
            code="ETAG_MISMATCH",
            metadata={"etag": calendar.etag},
        )
    return calendar


async def _check(calendar: Calendar) -> None:
    with _refusing():
        # In a thread: many rules may take a moment.
        await asyncio.to_thread(lambda: calendar.days_off)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except RefusedCalendar as error:
        violation = Violation(error.field, error.description, error.code.lower())
        raise InvalidArgument(str(error), code=error.code, violations=[violation]) from error
