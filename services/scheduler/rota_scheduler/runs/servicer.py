"""rota.scheduler.v1.RunService: messages in, use cases, messages out."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.scheduler.v1 import runs_pb2, runs_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_scheduler.runs import commands, queries
from rota_scheduler.runs.domain import Debounce
from rota_scheduler.runs.messages import STATUSES, WAIT_REASONS, listed, run_message, shared_of, unique_of
from rota_scheduler.schedules.messages import action_json

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_scheduler.runs.dependencies import Runs


class RunServicer(runs_pb2_grpc.RunServiceServicer):
    """Serves runs and dead letters."""

    def __init__(self, runs: Runs, page_tokens: PageTokens) -> None:
        self._runs = runs
        self._page_tokens = page_tokens

    async def CreateRun(self, request: runs_pb2.CreateRunRequest, _context: Any) -> runs_pb2.CreateRunResponse:
        user = require_user()
        run = await commands.create_run(
            self._runs,
            user,
            workspace_id=_workspace(request) or user.workspace_id,
            action=action_json(request.action),
            at=request.at.ToDatetime(UTC) if request.HasField("at") else None,
            after=[UUID(each) for each in request.after],
            request=request_of(request),
            shares=shared_of(request),
            unique=unique_of(request),
            debounce=_debounce(request),
            priority=request.priority,
            concurrency_key=request.concurrency_key if request.HasField("concurrency_key") else None,
            concurrency_limit=request.concurrency_limit or 1,
        )
        return runs_pb2.CreateRunResponse(run=run_message(run))

    async def ListAllRuns(self, request: runs_pb2.ListAllRunsRequest, _context: Any) -> runs_pb2.ListAllRunsResponse:
        user = require_user()
        status = next((each for each, number in STATUSES.items() if number == request.status), None)
        page = self._page_tokens.page(
            request, bound_to=["all runs", user.user_id, request.workspace_id, request.status]
        )
        found = await queries.list_runs(
            self._runs,
            user,
            workspace_id=_workspace(request),
            status=status,
            limit=page.limit,
            before=page.cursor(UUID),
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return runs_pb2.ListAllRunsResponse(runs=map(listed, rows), next_page_token=token)

    async def GetRun(self, request: runs_pb2.GetRunRequest, _context: Any) -> runs_pb2.GetRunResponse:
        run, _role = await queries.get_run(self._runs, require_user(), run_id=UUID(request.id))
        message = run_message(run)
        reason = await queries.wait_reason(self._runs, run)
        if reason is not None:
            message.wait_reason = WAIT_REASONS[reason]
        return runs_pb2.GetRunResponse(run=message)

    async def CancelRun(self, request: runs_pb2.CancelRunRequest, _context: Any) -> runs_pb2.CancelRunResponse:
        run = await commands.cancel_run(self._runs, require_user(), run_id=UUID(request.id))
        return runs_pb2.CancelRunResponse(run=run_message(run))

    async def RetryRun(self, request: runs_pb2.RetryRunRequest, _context: Any) -> runs_pb2.RetryRunResponse:
        run = await commands.retry_run(self._runs, require_user(), run_id=UUID(request.id), request=request_of(request))
        return runs_pb2.RetryRunResponse(run=run_message(run))

    async def ListDeadLetters(
        self, request: runs_pb2.ListDeadLettersRequest, _context: Any
    ) -> runs_pb2.ListDeadLettersResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["dead letters", user.user_id, request.workspace_id])
        found = await queries.list_dead_letters(
            self._runs, user, workspace_id=_workspace(request), limit=page.limit, before=page.cursor(UUID)
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return runs_pb2.ListDeadLettersResponse(runs=map(listed, rows), next_page_token=token)

    async def ReplayDeadLetter(
        self, request: runs_pb2.ReplayDeadLetterRequest, _context: Any
    ) -> runs_pb2.ReplayDeadLetterResponse:
        run = await commands.replay_dead_letter(self._runs, require_user(), run_id=UUID(request.id))
        return runs_pb2.ReplayDeadLetterResponse(run=run_message(run))


def _debounce(request: runs_pb2.CreateRunRequest) -> Debounce | None:
    said = request.debounce
    return Debounce(said.key, said.wait_s, said.max_wait_s) if request.HasField("debounce") else None


def _workspace(request: Any) -> UUID | None:
    return UUID(request.workspace_id) if request.HasField("workspace_id") else None
