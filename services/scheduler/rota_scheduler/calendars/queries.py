"""What reads calendars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound, Violation

from rota_scheduler.calendars import store

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.calendars.dependencies import Calendars
    from rota_scheduler.calendars.domain import Calendar
    from rota_scheduler.schedules.timing import Timing


def no_such_calendar() -> NotFound:
    """The answer to whoever may not know whether the calendar exists."""
    return NotFound("There is no such calendar.", code="CALENDAR_NOT_FOUND")


def require_all(timing: Timing, found: Collection[UUID]) -> None:
    """Return if all calendars that a schedule names were found.

    Raises:
        NotFound: one was not (code CALENDAR_NOT_FOUND).
    """
    named = (("exclude_calendars", timing.excluded_calendar_ids), ("only_calendars", timing.only_calendar_ids))
    missing = [
        f"spec.{member}[{index}]" for member, ids in named for index, each in enumerate(ids) if each not in found
    ]
    if missing:
        raise NotFound(
            "There is no such calendar in the schedule's workspace.",
            code="CALENDAR_NOT_FOUND",
            violations=[Violation(field, "is no calendar of the workspace", "not_found") for field in missing],
        )


async def get_calendar(calendars: Calendars, user: UserPrincipal, *, calendar_id: UUID) -> Calendar:
    """One calendar.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    calendar = await store.get(calendars.database, user_id=user.user_id, calendar_id=calendar_id)
    if calendar is None:
        await calendars.memberships.refresh(user.user_id)
        calendar = await store.get(calendars.database, user_id=user.user_id, calendar_id=calendar_id)
    if calendar is None:
        raise no_such_calendar()
    return calendar


async def list_calendars(
    calendars: Calendars, user: UserPrincipal, *, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Calendar]:
    """The newest calendars that the user may see (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await calendars.memberships.require(user.user_id, workspace_id)
    return await store.page(
        calendars.database, user_id=user.user_id, limit=limit, before=before, workspace_id=workspace_id
    )
