"""rota.tasks.v1.PlanningService: messages in, use cases, messages out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import planning_pb2, planning_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.filters.literals import Context, instant, time_zone
from rota_chassis.identity import require_user

from rota_tasks.planning import commands, queries
from rota_tasks.planning.domain import MAX_RANGE
from rota_tasks.planning.messages import entry_message, graph_message, rescheduled_message
from rota_tasks.projects.queries import get_project
from rota_tasks.tasks.custom import names_in
from rota_tasks.tasks.days import day
from rota_tasks.tasks.filtering import filter_of
from rota_tasks.tasks.listing import Cursor
from rota_tasks.timestamps import moment

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.tasks.dependencies import Tasks


class PlanningServicer(planning_pb2_grpc.PlanningServiceServicer):
    """Serves tasks in time."""

    def __init__(self, projects: Projects, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._projects = projects
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def GetCalendar(
        self, request: planning_pb2.GetCalendarRequest, _context: Any
    ) -> planning_pb2.GetCalendarResponse:
        user = require_user()
        context = Context(self._tasks.clock.now(), time_zone(request.time_zone), user.user_id)
        start, end = _range(request, context)
        page = self._page_tokens.page(
            request, bound_to=["calendar", user.user_id, *(getattr(request, name) for name in _CALENDAR_OF)]
        )
        after = page.cursor(lambda begin, task_id: Cursor(datetime.fromisoformat(begin), UUID(task_id)))
        named = await names_in(self._tasks.database, user.user_id, request.filter)
        found = await queries.get_calendar(
            self._tasks,
            user,
            workspace_id=_id(request, "workspace_id"),
            start=start,
            end=end,
            where=filter_of(
                request.filter,
                context,
                {"project_id": _id(request, "project_id"), "assignee": _id(request, "assignee_id")},
                named,
            ),
            limit=page.limit,
            after=after,
        )
        rows, token = page.cut(found, lambda last: [last.start or last.due, last.id])
        return planning_pb2.GetCalendarResponse(entries=map(entry_message, rows), next_page_token=token)

    async def GetProjectGraph(
        self, request: planning_pb2.GetProjectGraphRequest, _context: Any
    ) -> planning_pb2.GetProjectGraphResponse:
        user = require_user()
        project = await get_project(self._projects, user, project_id=UUID(request.id))
        return graph_message(*await queries.get_graph(self._tasks, user, project))

    async def RescheduleTask(
        self, request: planning_pb2.RescheduleTaskRequest, _context: Any
    ) -> planning_pb2.RescheduleTaskResponse:
        on_day = request.HasField("due_on")
        moved = await commands.reschedule_task(
            self._tasks,
            require_user(),
            task_id=UUID(request.id),
            due={"due_on": day(request, "due_on")} if on_day else {"due_at": moment(request, "due_at")},
            if_match=request.if_match,
            dry_run=request.dry_run,
        )
        return planning_pb2.RescheduleTaskResponse(
            moved=[rescheduled_message(task, changes) for task, changes in moved], applied=not request.dry_run
        )


_CALENDAR_OF = ("from", "to", "time_zone", "workspace_id", "project_id", "assignee_id", "filter")


def _range(request: planning_pb2.GetCalendarRequest, context: Context) -> tuple[datetime, datetime]:
    start, end = (_edge(request, name, context) for name in ("from", "to"))
    if not timedelta() < end - start <= MAX_RANGE:
        raise _invalid("to", f"must be after `from`, by at most {MAX_RANGE.days} days")
    return start, end


def _edge(request: planning_pb2.GetCalendarRequest, name: str, context: Context) -> datetime:
    try:
        return instant(getattr(request, name), context)
    except (ValueError, OverflowError) as error:
        raise _invalid(name, "is no date, no instant, and nothing like today+7d") from error


def _invalid(name: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"`{name}` {what}.", code="INVALID_RANGE", violations=[Violation(name, what, "range")])


def _id(request: Any, name: str) -> UUID | None:
    return UUID(getattr(request, name)) if request.HasField(name) else None
