"""rota.scheduler.v1.WorkerService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from rota.scheduler.v1 import workers_pb2, workers_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user

from rota_scheduler.queues import commands, queries
from rota_scheduler.queues.messages import claimed_message, json_of, queue_message, timestamp
from rota_scheduler.runs.domain import Status
from rota_scheduler.runs.messages import run_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_scheduler.queues.dependencies import Queues

LEASE_S = 60
_MOST_BYTES = 16_000


class WorkerServicer(workers_pb2_grpc.WorkerServiceServicer):
    """Serves queues to workers."""

    def __init__(self, queues: Queues, page_tokens: PageTokens) -> None:
        self._queues = queues
        self._page_tokens = page_tokens

    async def ClaimRuns(self, request: workers_pb2.ClaimRunsRequest, _context: Any) -> workers_pb2.ClaimRunsResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id
        jobs = await commands.claim_runs(
            self._queues,
            user,
            place=(workspace_id, request.name),
            limit=request.limit or 1,
            wait_s=request.wait_s,
            lease_s=request.lease_s or LEASE_S,
            worker=request.worker,
            told=claimed_message,
        )
        return workers_pb2.ClaimRunsResponse(runs=jobs)

    async def HeartbeatRun(
        self, request: workers_pb2.HeartbeatRunRequest, _context: Any
    ) -> workers_pb2.HeartbeatRunResponse:
        run = await commands.heartbeat_run(
            self._queues,
            require_user(),
            run_id=UUID(request.id),
            fence=request.fence,
            percent=request.progress if request.HasField("progress") else None,
            message=request.message if request.HasField("message") else None,
        )
        if run.status is Status.CANCELLED:
            return workers_pb2.HeartbeatRunResponse(cancelled=True)
        return workers_pb2.HeartbeatRunResponse(lease_until=timestamp(run.available_at))

    async def CompleteRun(
        self, request: workers_pb2.CompleteRunRequest, _context: Any
    ) -> workers_pb2.CompleteRunResponse:
        result = json_of(request.result)
        if len(orjson.dumps(result)) > _MOST_BYTES:
            description = f"must be at most {_MOST_BYTES} bytes as JSON"
            raise InvalidArgument(f"result {description}.", violations=[Violation("result", description, "too_long")])
        run = await commands.complete_run(
            self._queues, require_user(), run_id=UUID(request.id), fence=request.fence, result=result
        )
        return workers_pb2.CompleteRunResponse(run=run_message(run))

    async def FailRun(self, request: workers_pb2.FailRunRequest, _context: Any) -> workers_pb2.FailRunResponse:
        run = await commands.fail_run(
            self._queues,
            require_user(),
            run_id=UUID(request.id),
            fence=request.fence,
            error=request.error,
            retryable=request.retryable if request.HasField("retryable") else True,
        )
        return workers_pb2.FailRunResponse(run=run_message(run))

    async def ReleaseRun(self, request: workers_pb2.ReleaseRunRequest, _context: Any) -> workers_pb2.ReleaseRunResponse:
        run = await commands.release_run(self._queues, require_user(), run_id=UUID(request.id), fence=request.fence)
        return workers_pb2.ReleaseRunResponse(run=run_message(run))

    async def ListQueues(self, request: workers_pb2.ListQueuesRequest, _context: Any) -> workers_pb2.ListQueuesResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id
        page = self._page_tokens.page(request, bound_to=["queues", user.user_id, workspace_id])
        found = await queries.list_queues(
            self._queues, user, workspace_id=workspace_id, limit=page.limit, after=page.cursor(str) or ""
        )
        rows, token = page.cut(found, lambda last: [last["queue"]])
        return workers_pb2.ListQueuesResponse(queues=map(queue_message, rows), next_page_token=token)
