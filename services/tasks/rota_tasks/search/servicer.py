"""rota.tasks.v1.SearchService: messages in, use cases, messages out."""

from __future__ import annotations

import html
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import search_pb2, search_pb2_grpc
from rota_chassis.filters.literals import Context, time_zone
from rota_chassis.identity import require_user

from rota_tasks.search import commands, queries
from rota_tasks.search.domain import Place
from rota_tasks.search.store import START, STOP, Found
from rota_tasks.tasks.custom import names_in
from rota_tasks.tasks.filtering import filter_of
from rota_tasks.tasks.messages import task_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.search.languages import Setting
    from rota_tasks.tasks.dependencies import Tasks


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    """Serves search."""

    def __init__(self, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def SearchTasks(
        self, request: search_pb2.SearchTasksRequest, _context: Any
    ) -> search_pb2.SearchTasksResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        zone = time_zone(request.time_zone)
        page = self._page_tokens.page(
            request, bound_to=["search", user.user_id, workspace_id, request.q, request.filter, request.time_zone]
        )
        # The pages of one search have the `now` of the first.
        now, after = page.cursor(
            lambda began, score, last: (datetime.fromisoformat(began), Place(score, UUID(last)))
        ) or (self._tasks.clock.now(), None)
        named = await names_in(self._tasks.database, user.user_id, request.filter)
        found = await queries.search_tasks(
            self._tasks,
            user,
            words=request.q,
            where=filter_of(request.filter, Context(now, zone, user.user_id), {}, named),
            workspace_id=workspace_id,
            limit=page.limit,
            after=after,
        )
        rows, token = page.cut(found, lambda last: [now, last.score, last.task.id])
        return search_pb2.SearchTasksResponse(results=map(_result, rows), next_page_token=token)

    async def GetSearchSettings(
        self, _request: search_pb2.GetSearchSettingsRequest, _context: Any
    ) -> search_pb2.GetSearchSettingsResponse:
        setting = await queries.get_search_settings(self._tasks, require_user())
        return search_pb2.GetSearchSettingsResponse(settings=_settings(setting))

    async def SetSearchSettings(
        self, request: search_pb2.SetSearchSettingsRequest, _context: Any
    ) -> search_pb2.SetSearchSettingsResponse:
        language = request.language if request.HasField("language") else None
        setting = await commands.set_search_settings(self._tasks, require_user(), language=language)
        return search_pb2.SetSearchSettingsResponse(settings=_settings(setting))


def _settings(setting: Setting) -> search_pb2.SearchSettings:
    return search_pb2.SearchSettings(language=setting.language, ready=setting.ready)


def _result(found: Found) -> search_pb2.SearchResult:
    parts = {"title": found.title, "description": found.description}
    return search_pb2.SearchResult(
        task=task_message(found.task),
        score=found.score,
        highlights=[
            search_pb2.Highlight(field=field, html=_marked(text)) for field, text in parts.items() if START in text
        ],
    )


def _marked(text: str) -> str:
    return html.escape(text).replace(START, "<em>").replace(STOP, "</em>")
