"""rota.scheduler.v1.CalendarService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.scheduler.v1 import calendars_pb2, calendars_pb2_grpc
from rota_chassis.identity import require_user

from rota_scheduler.calendars import commands, queries
from rota_scheduler.calendars.messages import calendar_message, members_of

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_scheduler.calendars.dependencies import Calendars


class CalendarServicer(calendars_pb2_grpc.CalendarServiceServicer):
    """Serves calendars."""

    def __init__(self, calendars: Calendars, page_tokens: PageTokens) -> None:
        self._calendars = calendars
        self._page_tokens = page_tokens

    async def CreateCalendar(
        self, request: calendars_pb2.CreateCalendarRequest, _context: Any
    ) -> calendars_pb2.CreateCalendarResponse:
        user = require_user()
        calendar = await commands.create_calendar(
            self._calendars,
            user,
            workspace_id=UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id,
            members=members_of(request),
            request_id=request.request_id,
        )
        return calendars_pb2.CreateCalendarResponse(calendar=calendar_message(calendar))

    async def GetCalendar(
        self, request: calendars_pb2.GetCalendarRequest, _context: Any
    ) -> calendars_pb2.GetCalendarResponse:
        calendar = await queries.get_calendar(self._calendars, require_user(), calendar_id=UUID(request.id))
        return calendars_pb2.GetCalendarResponse(calendar=calendar_message(calendar))

    async def ListCalendars(
        self, request: calendars_pb2.ListCalendarsRequest, _context: Any
    ) -> calendars_pb2.ListCalendarsResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        page = self._page_tokens.page(request, bound_to=["calendars", user.user_id, workspace_id])
        found = await queries.list_calendars(
            self._calendars, user, limit=page.limit, before=page.cursor(UUID), workspace_id=workspace_id
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return calendars_pb2.ListCalendarsResponse(calendars=map(calendar_message, rows), next_page_token=token)

    async def ReplaceCalendar(
        self, request: calendars_pb2.ReplaceCalendarRequest, _context: Any
    ) -> calendars_pb2.ReplaceCalendarResponse:
        calendar = await commands.replace_calendar(
            self._calendars,
            require_user(),
            calendar_id=UUID(request.id),
            members=members_of(request),
            if_match=request.if_match,
        )
        return calendars_pb2.ReplaceCalendarResponse(calendar=calendar_message(calendar))

    async def DeleteCalendar(
        self, request: calendars_pb2.DeleteCalendarRequest, _context: Any
    ) -> calendars_pb2.DeleteCalendarResponse:
        await commands.delete_calendar(
            self._calendars, require_user(), calendar_id=UUID(request.id), if_match=request.if_match
        )
        return calendars_pb2.DeleteCalendarResponse()
