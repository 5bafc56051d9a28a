"""rota.tasks.v1.BoardService: messages in, use cases, messages out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import boards_pb2, boards_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user
from rota_chassis.requests import Request

from rota_tasks.boards import commands, queries
from rota_tasks.boards.domain import Section, State
from rota_tasks.boards.messages import section_message, state_message, transitions_of
from rota_tasks.boards.views import Board
from rota_tasks.tasks import commands as task_commands
from rota_tasks.tasks.messages import STATUSES, task_message
from rota_tasks.tasks.workflow import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota_chassis.pagination import PageTokens

    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.tasks.dependencies import Tasks


class BoardServicer(boards_pb2_grpc.BoardServiceServicer):
    """Serves states, sections, boards, and the ways of tasks on them."""

    def __init__(self, projects: Projects, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._projects = projects
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def CreateState(
        self, request: boards_pb2.CreateStateRequest, _context: Any
    ) -> boards_pb2.CreateStateResponse:
        state = await commands.create_column(
            self._projects,
            require_user(),
            State,
            project_id=UUID(request.project_id),
            name=request.name,
            group=STATUSES[request.group],
            color=request.color,
            wip_limit=request.wip_limit,
            transitions=transitions_of(request.transitions),
            request=_repeatable(request),
        )
        return boards_pb2.CreateStateResponse(state=state_message(state))

    async def CreateSection(
        self, request: boards_pb2.CreateSectionRequest, _context: Any
    ) -> boards_pb2.CreateSectionResponse:
        section = await commands.create_column(
            self._projects,
            require_user(),
            Section,
            project_id=UUID(request.project_id),
            name=request.name,
            request=_repeatable(request),
        )
        return boards_pb2.CreateSectionResponse(section=section_message(section))

    async def GetState(self, request: boards_pb2.GetStateRequest, _context: Any) -> boards_pb2.GetStateResponse:
        state = await queries.get_column(
            self._projects, require_user(), State, project_id=UUID(request.project_id), column_id=UUID(request.id)
        )
        return boards_pb2.GetStateResponse(state=state_message(state))

    async def GetSection(self, request: boards_pb2.GetSectionRequest, _context: Any) -> boards_pb2.GetSectionResponse:
        section = await queries.get_column(
            self._projects, require_user(), Section, project_id=UUID(request.project_id), column_id=UUID(request.id)
        )
        return boards_pb2.GetSectionResponse(section=section_message(section))

    async def ListStates(self, request: boards_pb2.ListStatesRequest, _context: Any) -> boards_pb2.ListStatesResponse:
        found = await queries.list_columns(self._projects, require_user(), State, project_id=UUID(request.project_id))
        page, token = self._page("states", request, found)
        return boards_pb2.ListStatesResponse(states=[state_message(each) for each in page], next_page_token=token)

    async def ListSections(
        self, request: boards_pb2.ListSectionsRequest, _context: Any
    ) -> boards_pb2.ListSectionsResponse:
        found = await queries.list_columns(self._projects, require_user(), Section, project_id=UUID(request.project_id))
        page, token = self._page("sections", request, found)
        return boards_pb2.ListSectionsResponse(sections=[section_message(each) for each in page], next_page_token=token)

    async def UpdateState(
        self, request: boards_pb2.UpdateStateRequest, _context: Any
    ) -> boards_pb2.UpdateStateResponse:
        changes = _changes(request, "name", "color", "wip_limit")
        if "transitions" in request.update_mask.paths:
            changes["transitions"] = transitions_of(request.transitions)
        state = await commands.edit_column(
            self._projects,
            require_user(),
            State,
            project_id=UUID(request.project_id),
            column_id=UUID(request.id),
            changes=changes,
            if_match=request.if_match,
        )
        return boards_pb2.UpdateStateResponse(state=state_message(state))

    async def UpdateSection(
        self, request: boards_pb2.UpdateSectionRequest, _context: Any
    ) -> boards_pb2.UpdateSectionResponse:
        section = await commands.edit_column(
            self._projects,
            require_user(),
            Section,
            project_id=UUID(request.project_id),
            column_id=UUID(request.id),
            changes=_changes(request, "name"),
            if_match=request.if_match,
        )
        return boards_pb2.UpdateSectionResponse(section=section_message(section))

    async def DeleteState(
        self, request: boards_pb2.DeleteStateRequest, _context: Any
    ) -> boards_pb2.DeleteStateResponse:
        await self._delete(State, request)
        return boards_pb2.DeleteStateResponse()

    async def DeleteSection(
        self, request: boards_pb2.DeleteSectionRequest, _context: Any
    ) -> boards_pb2.DeleteSectionResponse:
        await self._delete(Section, request)
        return boards_pb2.DeleteSectionResponse()

    async def GetBoard(self, request: boards_pb2.GetBoardRequest, _context: Any) -> boards_pb2.GetBoardResponse:
        kind = Section if request.group_by == boards_pb2.BOARD_GROUPING_SECTION else State
        board = Board(self._projects, self._page_tokens, require_user(), UUID(request.project_id), kind)
        return boards_pb2.GetBoardResponse(
            columns=await board.columns(limit=request.page_size or 20, page_token=request.page_token)
        )

    async def TransitionTask(
        self, request: boards_pb2.TransitionTaskRequest, _context: Any
    ) -> boards_pb2.TransitionTaskResponse:
        task = await task_commands.edit_task(
            self._tasks, require_user(), task_id=UUID(request.id), changes=_where(request), if_match=request.if_match
        )
        return boards_pb2.TransitionTaskResponse(task=task_message(task))

    async def MoveTask(self, request: boards_pb2.MoveTaskRequest, _context: Any) -> boards_pb2.MoveTaskResponse:
        place = Place(
            UUID(request.before_id) if request.HasField("before_id") else None,
            UUID(request.after_id) if request.HasField("after_id") else None,
        )
        changes = _where(request) | {"place": place}
        if request.HasField("section_id"):
            changes["section_id"] = UUID(request.section_id)
        task = await task_commands.edit_task(
            self._tasks, require_user(), task_id=UUID(request.id), changes=changes, if_match=request.if_match
        )
        return boards_pb2.MoveTaskResponse(task=task_message(task))

    async def _delete(self, kind: type[Any], request: Any) -> None:
        await commands.delete_column(
            self._projects,
            require_user(),
            kind,
            project_id=UUID(request.project_id),
            column_id=UUID(request.id),
            if_match=request.if_match,
        )

    def _page(self, what: str, request: Any, found: Sequence[Any]) -> tuple[Sequence[Any], str]:
        page = self._page_tokens.page(request, bound_to=[what, require_user().user_id, request.project_id])
        after = page.cursor(lambda position, last: (position, last)) or ("", "")
        rest = [each for each in found if (each.position, str(each.id)) > after]
        return page.cut(rest, lambda last: [last.position, last.id])


def _repeatable(request: Any) -> Request | None:
    """As `request_of`, but it tells states from sections, whose calls are remembered in one place."""
    if not request.request_id:
        return None
    content = type(request)()
    content.CopyFrom(request)
    content.ClearField("request_id")
    digest = hashlib.sha256(content.DESCRIPTOR.name.encode() + content.SerializeToString(deterministic=True))
    return Request(request.request_id, digest.digest())


def _changes(request: Any, *fields: str) -> dict[str, Any]:
    named = request.update_mask.paths
    changes: dict[str, Any] = {field: getattr(request, field) for field in fields if field in named}
    if changes.get("name") == "":
        raise InvalidArgument(
            "It always has a name.",
            code="INVALID_FIELDS",
            violations=[Violation("name", "cannot be cleared", "required")],
        )
    if "after_id" in named:
        changes["after_id"] = UUID(request.after_id) if request.HasField("after_id") else None
    return changes


def _where(request: Any) -> dict[str, Any]:
    if request.HasField("state_id"):
        return {"state_id": UUID(request.state_id)}
    return {"status": STATUSES[request.status]} if request.status else {}
