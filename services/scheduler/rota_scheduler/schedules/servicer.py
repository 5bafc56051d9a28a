"""rota.scheduler.v1.ScheduleService: messages in, use cases, messages out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.scheduler.v1 import schedules_pb2, schedules_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user

from rota_scheduler.ledger.messages import entry_message
from rota_scheduler.runs.messages import listed, run_message
from rota_scheduler.schedules import commands, queries
from rota_scheduler.schedules.backfill import backfill_schedule
from rota_scheduler.schedules.messages import (
    action_of,
    edits_of,
    nominal_time_message,
    policies_of,
    schedule_message,
    timing_of,
)

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_scheduler.schedules.dependencies import Schedules

_PREVIEWED = 10


class ScheduleServicer(schedules_pb2_grpc.ScheduleServiceServicer):
    """Serves schedules and their runs."""

    def __init__(self, schedules: Schedules, page_tokens: PageTokens) -> None:
        self._schedules = schedules
        self._page_tokens = page_tokens

    async def CreateSchedule(
        self, request: schedules_pb2.CreateScheduleRequest, _context: Any
    ) -> schedules_pb2.CreateScheduleResponse:
        user = require_user()
        schedule = await commands.create_schedule(
            self._schedules,
            user,
            workspace_id=UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id,
            name=request.name,
            timing=timing_of(request),
            policies=policies_of(request),
            action=action_of(request),
        )
        return schedules_pb2.CreateScheduleResponse(schedule=schedule_message(schedule))

    async def GetSchedule(
        self, request: schedules_pb2.GetScheduleRequest, _context: Any
    ) -> schedules_pb2.GetScheduleResponse:
        schedule = await queries.get_schedule(self._schedules, require_user(), schedule_id=UUID(request.id))
        return schedules_pb2.GetScheduleResponse(schedule=schedule_message(schedule))

    async def ListSchedules(
        self, request: schedules_pb2.ListSchedulesRequest, _context: Any
    ) -> schedules_pb2.ListSchedulesResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        page = self._page_tokens.page(request, bound_to=["schedules", user.user_id, workspace_id])
        found = await queries.list_schedules(
            self._schedules, user, limit=page.limit, before=page.cursor(UUID), workspace_id=workspace_id
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return schedules_pb2.ListSchedulesResponse(schedules=map(schedule_message, rows), next_page_token=token)

    async def DeleteSchedule(
        self, request: schedules_pb2.DeleteScheduleRequest, _context: Any
    ) -> schedules_pb2.DeleteScheduleResponse:
        await commands.delete_schedule(self._schedules, require_user(), schedule_id=UUID(request.id))
        return schedules_pb2.DeleteScheduleResponse()

    async def PreviewSpec(
        self, request: schedules_pb2.PreviewSpecRequest, _context: Any
    ) -> schedules_pb2.PreviewSpecResponse:
        timing = timing_of(request)
        times = await queries.preview_spec(
            self._schedules, require_user(), timing, after=_from(request), count=request.count or _PREVIEWED
        )
        return schedules_pb2.PreviewSpecResponse(
            times=[nominal_time_message(time, note, timing.timezone) for time, note in times]
        )

    async def PreviewSchedule(
        self, request: schedules_pb2.PreviewScheduleRequest, _context: Any
    ) -> schedules_pb2.PreviewScheduleResponse:
        schedule, times = await queries.preview_schedule(
            self._schedules,
            require_user(),
            schedule_id=UUID(request.id),
            after=_from(request),
            count=request.count or _PREVIEWED,
        )
        return schedules_pb2.PreviewScheduleResponse(
            times=[nominal_time_message(time, note, schedule.timing.timezone) for time, note in times]
        )

    async def UpdateSchedule(
        self, request: schedules_pb2.UpdateScheduleRequest, _context: Any
    ) -> schedules_pb2.UpdateScheduleResponse:
        named = set(request.update_mask.paths)
        cleared = [field for field in ("name", "action") if field in named and not request.HasField(field)]
        if cleared:
            raise InvalidArgument(
                f"A schedule always has a {' and an '.join(cleared)}.",
                code="INVALID_FIELDS",
                violations=[Violation(field, "cannot be cleared", "required") for field in cleared],
            )
        schedule = await commands.edit_schedule(
            self._schedules,
            require_user(),
            schedule_id=UUID(request.id),
            edits=edits_of(request),
            if_match=request.if_match,
        )
        return schedules_pb2.UpdateScheduleResponse(schedule=schedule_message(schedule))

    async def PutSchedule(
        self, request: schedules_pb2.PutScheduleRequest, _context: Any
    ) -> schedules_pb2.PutScheduleResponse:
        user = require_user()
        schedule = await commands.put_schedule(
            self._schedules,
            user,
            workspace_id=UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id,
            name=request.name,
            timing=timing_of(request),
            policies=policies_of(request),
            action=action_of(request),
        )
        return schedules_pb2.PutScheduleResponse(schedule=schedule_message(schedule))

    async def PauseSchedule(
        self, request: schedules_pb2.PauseScheduleRequest, _context: Any
    ) -> schedules_pb2.PauseScheduleResponse:
        schedule = await commands.pause_schedule(
            self._schedules, require_user(), schedule_id=UUID(request.id), note=request.note or None
        )
        return schedules_pb2.PauseScheduleResponse(schedule=schedule_message(schedule))

    async def ResumeSchedule(
        self, request: schedules_pb2.ResumeScheduleRequest, _context: Any
    ) -> schedules_pb2.ResumeScheduleResponse:
        schedule = await commands.resume_schedule(self._schedules, require_user(), schedule_id=UUID(request.id))
        return schedules_pb2.ResumeScheduleResponse(schedule=schedule_message(schedule))

    async def RunSchedule(
        self, request: schedules_pb2.RunScheduleRequest, _context: Any
    ) -> schedules_pb2.RunScheduleResponse:
        run = await commands.run_schedule(
            self._schedules, require_user(), schedule_id=UUID(request.id), request_id=request.request_id or None
        )
        return schedules_pb2.RunScheduleResponse(run=run_message(run))

    async def BackfillSchedule(
        self, request: schedules_pb2.BackfillScheduleRequest, _context: Any
    ) -> schedules_pb2.BackfillScheduleResponse:
        backfilled = await backfill_schedule(
            self._schedules,
            require_user(),
            schedule_id=UUID(request.id),
            start=getattr(request, "from").ToDatetime(tzinfo=UTC),
            end=request.to.ToDatetime(tzinfo=UTC),
            one_by_one=request.overlap != schedules_pb2.OVERLAP_ALLOW_ALL,
            dry_run=request.dry_run,
        )
        return schedules_pb2.BackfillScheduleResponse(
            nominal_times=backfilled.nominal_times, started=backfilled.started
        )

    async def ListLedger(
        self, request: schedules_pb2.ListLedgerRequest, _context: Any
    ) -> schedules_pb2.ListLedgerResponse:
        user = require_user()
        schedule_id = UUID(request.id)
        start, end = _from(request), request.to.ToDatetime(tzinfo=UTC) if request.HasField("to") else None
        page = self._page_tokens.page(request, bound_to=["ledger", user.user_id, schedule_id, start, end])
        found = await queries.list_ledger(
            self._schedules,
            user,
            schedule_id=schedule_id,
            start=start,
            end=end,
            after=page.cursor(datetime.fromisoformat),
            limit=page.limit,
        )
        rows, token = page.cut(found, lambda last: [last.nominal_time])
        return schedules_pb2.ListLedgerResponse(entries=map(entry_message, rows), next_page_token=token)

    async def ListRuns(self, request: schedules_pb2.ListRunsRequest, _context: Any) -> schedules_pb2.ListRunsResponse:
        user = require_user()
        schedule_id = UUID(request.schedule_id)
        page = self._page_tokens.page(request, bound_to=["runs", user.user_id, schedule_id])
        found = await queries.list_runs(
            self._schedules,
            user,
            schedule_id=schedule_id,
            limit=page.limit,
            before=page.cursor(datetime.fromisoformat),
        )
        rows, token = page.cut(found, lambda last: [last.nominal_time])
        return schedules_pb2.ListRunsResponse(runs=map(listed, rows), next_page_token=token)


def _from(request: Any) -> datetime | None:
    # The name is a keyword of Python.
    return getattr(request, "from").ToDatetime(tzinfo=UTC) if request.HasField("from") else None
