"""rota.scheduler.v1.WorkflowService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.scheduler.v1 import workflows_pb2, workflows_pb2_grpc
from rota_chassis.codec.wellknown import struct_json, value_json
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user

from rota_scheduler.workflows import commands, queries
from rota_scheduler.workflows.messages import graph_message, item_message, run_message, schema_message, workflow_message
from rota_scheduler.workflows.state import Item, Order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.pagination import PageTokens

    from rota_scheduler.workflows.dependencies import Workflows

_ITEM_STATUSES = {workflows_pb2.WorkflowItemStatus.Value(f"WORKFLOW_ITEM_STATUS_{item.name}"): item for item in Item}


class WorkflowServicer(workflows_pb2_grpc.WorkflowServiceServicer):
    """Serves workflows and their runs."""

    def __init__(self, workflows: Workflows, page_tokens: PageTokens) -> None:
        self._workflows = workflows
        self._page_tokens = page_tokens

    async def CreateWorkflow(
        self, request: workflows_pb2.CreateWorkflowRequest, _context: Any
    ) -> workflows_pb2.CreateWorkflowResponse:
        user = require_user()
        workflow = await commands.create_workflow(
            self._workflows,
            user,
            workspace_id=UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id,
            name=request.name,
            definition=_definition(request),
        )
        return workflows_pb2.CreateWorkflowResponse(workflow=workflow_message(workflow))

    async def PutWorkflow(
        self, request: workflows_pb2.PutWorkflowRequest, _context: Any
    ) -> workflows_pb2.PutWorkflowResponse:
        workflow = await commands.put_workflow(
            self._workflows,
            require_user(),
            workflow_id=UUID(request.id),
            name=request.name,
            definition=_definition(request),
            if_match=request.if_match,
        )
        return workflows_pb2.PutWorkflowResponse(workflow=workflow_message(workflow))

    async def GetWorkflow(
        self, request: workflows_pb2.GetWorkflowRequest, _context: Any
    ) -> workflows_pb2.GetWorkflowResponse:
        workflow = await queries.get_workflow(self._workflows, require_user(), workflow_id=UUID(request.id))
        return workflows_pb2.GetWorkflowResponse(workflow=workflow_message(workflow))

    async def GetWorkflowSchema(
        self, _request: workflows_pb2.GetWorkflowSchemaRequest, _context: Any
    ) -> workflows_pb2.GetWorkflowSchemaResponse:
        return schema_message()

    async def ListWorkflows(
        self, request: workflows_pb2.ListWorkflowsRequest, _context: Any
    ) -> workflows_pb2.ListWorkflowsResponse:
        user, workspace_id = require_user(), _uuid(request, "workspace_id")
        page = self._page_tokens.page(request, bound_to=["workflows", user.user_id, workspace_id])
        found = await queries.list_workflows(
            self._workflows, user, limit=page.limit, before=page.cursor(UUID), workspace_id=workspace_id
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return workflows_pb2.ListWorkflowsResponse(workflows=map(workflow_message, rows), next_page_token=token)

    async def ListWorkflowVersions(
        self, request: workflows_pb2.ListWorkflowVersionsRequest, _context: Any
    ) -> workflows_pb2.ListWorkflowVersionsResponse:
        user, workflow_id = require_user(), UUID(request.id)
        page = self._page_tokens.page(request, bound_to=["workflow_versions", user.user_id, workflow_id])
        found = await queries.list_versions(
            self._workflows, user, workflow_id=workflow_id, limit=page.limit, before=page.cursor(int)
        )
        rows, token = page.cut(found, lambda last: [last.version])
        return workflows_pb2.ListWorkflowVersionsResponse(versions=map(workflow_message, rows), next_page_token=token)

    async def StartWorkflow(
        self, request: workflows_pb2.StartWorkflowRequest, _context: Any
    ) -> workflows_pb2.StartWorkflowResponse:
        run = await commands.start_workflow(
            self._workflows,
            require_user(),
            workflow_id=UUID(request.id),
            content=value_json(request.input),
            request_id=request.request_id or None,
        )
        return workflows_pb2.StartWorkflowResponse(run=run_message(run))

    async def ListWorkflowRuns(
        self, request: workflows_pb2.ListWorkflowRunsRequest, _context: Any
    ) -> workflows_pb2.ListWorkflowRunsResponse:
        user = require_user()
        workspace_id, workflow_id = _uuid(request, "workspace_id"), _uuid(request, "workflow_id")
        page = self._page_tokens.page(request, bound_to=["workflow_runs", user.user_id, workspace_id, workflow_id])
        found = await queries.list_runs(
            self._workflows,
            user,
            limit=page.limit,
            before=page.cursor(UUID),
            workspace_id=workspace_id,
            workflow_id=workflow_id,
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return workflows_pb2.ListWorkflowRunsResponse(runs=map(run_message, rows), next_page_token=token)

    async def GetWorkflowRun(
        self, request: workflows_pb2.GetWorkflowRunRequest, _context: Any
    ) -> workflows_pb2.GetWorkflowRunResponse:
        run = await queries.get_run(self._workflows, require_user(), run_id=UUID(request.id))
        return workflows_pb2.GetWorkflowRunResponse(run=run_message(run))

    async def GetWorkflowRunGraph(
        self, request: workflows_pb2.GetWorkflowRunGraphRequest, _context: Any
    ) -> workflows_pb2.GetWorkflowRunGraphResponse:
        run = await queries.get_run(self._workflows, require_user(), run_id=UUID(request.id))
        return graph_message(run, with_svg=request.with_svg)

    async def ListWorkflowItems(
        self, request: workflows_pb2.ListWorkflowItemsRequest, _context: Any
    ) -> workflows_pb2.ListWorkflowItemsResponse:
        user, run_id = require_user(), UUID(request.id)
        status = _ITEM_STATUSES[request.status] if request.HasField("status") else None
        page = self._page_tokens.page(
            request, bound_to=["workflow_items", user.user_id, run_id, request.step, str(status)]
        )
        after = page.cursor(int)
        found = await queries.list_items(
            self._workflows,
            user,
            run_id=run_id,
            step=request.step,
            status=status,
            limit=page.limit,
            after=-1 if after is None else after,
        )
        rows, token = page.cut(found, lambda last: [last.place])
        return workflows_pb2.ListWorkflowItemsResponse(items=map(item_message, rows), next_page_token=token)

    async def PauseWorkflowRun(
        self, request: workflows_pb2.PauseWorkflowRunRequest, _context: Any
    ) -> workflows_pb2.PauseWorkflowRunResponse:
        run = await commands.order(self._workflows, require_user(), run_id=UUID(request.id), given=Order.PAUSE)
        return workflows_pb2.PauseWorkflowRunResponse(run=run_message(run))

    async def ResumeWorkflowRun(
        self, request: workflows_pb2.ResumeWorkflowRunRequest, _context: Any
    ) -> workflows_pb2.ResumeWorkflowRunResponse:
        run = await commands.order(self._workflows, require_user(), run_id=UUID(request.id), given=Order.RESUME)
        return workflows_pb2.ResumeWorkflowRunResponse(run=run_message(run))

    async def CancelWorkflowRun(
        self, request: workflows_pb2.CancelWorkflowRunRequest, _context: Any
    ) -> workflows_pb2.CancelWorkflowRunResponse:
        run = await commands.order(self._workflows, require_user(), run_id=UUID(request.id), given=Order.CANCEL)
        return workflows_pb2.CancelWorkflowRunResponse(run=run_message(run))

    async def RetryWorkflowRun(
        self, request: workflows_pb2.RetryWorkflowRunRequest, _context: Any
    ) -> workflows_pb2.RetryWorkflowRunResponse:
        run = await commands.retry(
            self._workflows,
            require_user(),
            run_id=UUID(request.id),
            step=getattr(request, "from") if request.HasField("from") else None,
            request_id=request.request_id,
        )
        return workflows_pb2.RetryWorkflowRunResponse(run=run_message(run))

    async def SignalWorkflowRun(
        self, request: workflows_pb2.SignalWorkflowRunRequest, _context: Any
    ) -> workflows_pb2.SignalWorkflowRunResponse:
        run = await commands.signal(
            self._workflows,
            require_user(),
            run_id=UUID(request.id),
            name=request.name,
            data=value_json(request.data),
            request_id=request.request_id,
        )
        return workflows_pb2.SignalWorkflowRunResponse(run=run_message(run))


def _uuid(request: Any, field: str) -> UUID | None:
    return UUID(getattr(request, field)) if request.HasField(field) else None


def _definition(request: Any) -> Mapping[str, Any] | str:
    if request.HasField("definition") == bool(request.definition_yaml):
        description = "exactly one of definition and definition_yaml must be given"
        raise InvalidArgument(
            f"In the request, {description}.",
            code="INVALID_FIELDS",
            violations=[Violation("definition", description, "invalid_fields")],
        )
    return request.definition_yaml or struct_json(request.definition)
