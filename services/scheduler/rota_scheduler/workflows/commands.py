"""What changes workflows and their runs.

Two at once: the row is locked first, so they take turns. Dying before the commit leaves nothing, after it everything,
the runs of actions included. Starting twice with one request id gives one run.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from rota.events.v1 import events_pb2
from rota_chassis.errors import Conflict, InvalidArgument, PreconditionFailed, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_scheduler import expressions
from rota_scheduler.actions.contract import KINDS, RefusedAction, action_of, units_asked, unknown_member
from rota_scheduler.actions.templates import RefusedDefinition
from rota_scheduler.expressions import MAX_RESULT_BYTES
from rota_scheduler.resource_pools.checks import check_resources
from rota_scheduler.workflows import queries, store, trees
from rota_scheduler.workflows.definition import check_steps_named, from_yaml, parse
from rota_scheduler.workflows.domain import RefusedRetry, begin
from rota_scheduler.workflows.engine import apply
from rota_scheduler.workflows.messages import event_of
from rota_scheduler.workflows.model import Workflow, WorkflowRun
from rota_scheduler.workflows.state import FINISHED, MAX_SIGNALS, Order, Retry, Signalled
from rota_scheduler.workflows.waits import may_take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.actions.egress import EgressPolicy
    from rota_scheduler.workflows.dependencies import Workflows

ANY_ETAG = "*"


async def create_workflow(
    workflows: Workflows, user: UserPrincipal, *, workspace_id: UUID, name: str, definition: Mapping[str, Any] | str
) -> Workflow:
    """Create a workflow, of JSON or YAML.

    Raises:
        InvalidArgument: the definition will not do (code INVALID_DEFINITION, or those of `check_resources`).
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    content = await asyncio.to_thread(_checked, definition, workflows.egress)
    await workflows.memberships.require(user.user_id, workspace_id, WRITERS)
    workflow = Workflow(
        workspace_id=workspace_id,
        id=uuid7(),
        name=name,
        definition=content,
        created_by=user.user_id,
        created_at=workflows.clock.now(),
    )
    async with workflows.database.transaction() as work:
        await check_resources(work, workspace_id=workspace_id, resources=_units(content))
        await store.add(work, workflow)
    return workflow


async def put_workflow(
    workflows: Workflows,
    user: UserPrincipal,
    *,
    workflow_id: UUID,
    name: str,
    definition: Mapping[str, Any] | str,
    if_match: str = "",
) -> Workflow:
    """Make the next version of a workflow; what is the same already makes none.

    Raises:
        InvalidArgument: the definition will not do (code INVALID_DEFINITION, or those of `check_resources`).
        NotFound: the workflow does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    content = await asyncio.to_thread(_checked, definition, workflows.egress)
    await queries.get_workflow(workflows, user, workflow_id=workflow_id)
    async with workflows.database.transaction() as work:
        found = await store.lock(work, user_id=user.user_id, workflow_id=workflow_id)
        if found is None:
            raise queries.no_such_workflow()
        before, role = found
        require_role(role, WRITERS)
        if if_match not in ("", ANY_ETAG, before.etag):
            raise PreconditionFailed(
                f"The workflow has changed: its entity tag is {before.etag}.",
                code="ETAG_MISMATCH",
                metadata={"etag": before.etag},
            )
        if (before.name, before.definition) == (name, content):
            return before
        await check_resources(work, workspace_id=before.workspace_id, resources=_units(content))
        after = replace(
            before,
            name=name,
            definition=content,
            created_by=user.user_id,
            created_at=workflows.clock.now(),
            version=before.version + 1,
        )
        await store.save(work, after)
    return after


async def start_workflow(
    workflows: Workflows,
    user: UserPrincipal,
    *,
    workflow_id: UUID,
    content: Any,
    request_id: str | None,
    causation_depth: int = 0,
    within: UUID | None = None,
    project_ids: Sequence[str] = (),
) -> WorkflowRun:
    """Start a run of the newest version.

    Args:
        workflows: What it needs.
        user: On whose behalf its actions are taken.
        workflow_id: The workflow.
        content: What its expressions know as `input`.
        request_id: With the same one again, it is the same run.
        causation_depth: How many rules led to it.
        within: The run whose step starts it without waiting for it, if one does.
        project_ids: The projects that it came of.

    Raises:
        InvalidArgument: the input is too large.
        NotFound: the workflow does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it is too deep within others (code WORKFLOW_TREE_TOO_DEEP), or too many go on there
            (WORKFLOW_TREE_FULL).
    """
    _check_size(content, "input")
    limits = workflows.limits
    await queries.get_workflow(workflows, user, workflow_id=workflow_id)
    async with workflows.database.transaction() as work:
        found = await store.lock(work, user_id=user.user_id, workflow_id=workflow_id)
        if found is None:
            raise queries.no_such_workflow()
        workflow, role = found
        require_role(role, WRITERS)
        outer = await trees.place_of(work, workspace_id=workflow.workspace_id, run_id=within) if within else None
        if outer is not None and outer.depth >= limits.depth:
            raise Conflict(limits.too_deep, code="WORKFLOW_TREE_TOO_DEEP")
        run = WorkflowRun(
            workspace_id=workflow.workspace_id,
            id=uuid7(),
            workflow_id=workflow.id,
            workflow_version=workflow.version,
            definition=workflow.definition,
            state=begin(parse(workflow.definition, KINDS), content),
            started_by=user.user_id,
            created_at=workflows.clock.now(),
            request_key=f"{user.user_id}/{request_id}" if request_id else None,
            causation_depth=causation_depth,
            root_id=outer.root_id if outer else None,
            depth=outer.depth + 1 if outer else 0,
            project_ids=tuple(project_ids),
        )
        there = await store.add_run(work, run)
        if there is None:
            # With itself; what is called again finds it, and needs no room.
            if (
                run.root_id is not None
                and await trees.room(work, limits, workspace_id=run.workspace_id, root_id=run.root_id) < 0
            ):
                raise Conflict(limits.full, code="WORKFLOW_TREE_FULL")
            work.append(event_of(events_pb2.WorkflowRunStarted, run, run.created_at))
            run = await apply(workflows, work, run, Order.WAKE)
        else:
            run = there
    workflows.on_runs()
    workflows.on_waits()
    return run


async def order(workflows: Workflows, user: UserPrincipal, *, run_id: UUID, given: Order) -> WorkflowRun:
    """Pause, resume or cancel a run. One that is so already, or has finished, stays as it is.

    Raises:
        NotFound: the run does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
    """
    return await _advance(workflows, user, run_id, given)


async def signal(
    workflows: Workflows, user: UserPrincipal, *, run_id: UUID, name: str, data: Any, request_id: str = ""
) -> WorkflowRun:
    """Send a signal to a run; with the same request id again, it is not sent a second time.

    Raises:
        InvalidArgument: the data is too large.
        NotFound: the run does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: the run has finished (code WORKFLOW_RUN_FINISHED), or keeps as many signals as it may
            (TOO_MANY_SIGNALS).
    """
    _check_size(data, "data")
    key = f"{user.user_id}/{request_id}" if request_id else None
    return await _advance(workflows, user, run_id, Signalled(name, data), key)


async def retry(
    workflows: Workflows, user: UserPrincipal, *, run_id: UUID, step: str | None, request_id: str = ""
) -> WorkflowRun:
    """Let a run that failed or was cancelled go on; with the same request id again, it is not retried a second time.

    Args:
        workflows: What it needs.
        user: Who asks for it; its actions are taken on behalf of whoever started it, as before.
        run_id: The run.
        step: Begin with this step, and all that need it, besides what is not done; None for only that.
        request_id: Makes the call idempotent, unless empty.

    Raises:
        NotFound: the run does not exist, or not for the user; or it has no such step (code WORKFLOW_STEP_NOT_FOUND).
        PermissionDenied: the user's role does not allow writing.
        Conflict: the run goes on (code WORKFLOW_RUN_GOES_ON), has succeeded (WORKFLOW_RUN_SUCCEEDED), or what a step
            did that would not be done again has been undone (WORKFLOW_STEPS_UNDONE), too many go on in its tree
            (WORKFLOW_TREE_FULL), or what it has done, or its definition, cannot be read (WORKFLOW_RUN_LOST).
    """
    key = f"retry/{user.user_id}/{request_id}" if request_id else None
    try:
        return await _advance(workflows, user, run_id, Retry(step), key)
    except RefusedRetry as error:
        raise Conflict(str(error), code=error.code) from error
    except RefusedDefinition as error:
        raise Conflict(
            f"The run's definition cannot be read ({error}); start another.", code="WORKFLOW_RUN_LOST"
        ) from error


async def _advance(
    workflows: Workflows,
    user: UserPrincipal,
    run_id: UUID,
    event: Order | Signalled | Retry,
    request_key: str | None = None,
) -> WorkflowRun:
    await queries.get_run(workflows, user, run_id=run_id)
    async with workflows.database.transaction() as work:
        found = await store.lock_run(work, user_id=user.user_id, run_id=run_id)
        if found is None:
            raise queries.no_such_run()
        run, role = found
        require_role(role, WRITERS)
        if isinstance(event, Retry) and event.step is not None and event.step not in run.state.steps:
            raise queries.no_such_step()
        if request_key is not None and not await store.record_call(work, run, request_key=request_key):
            return run
        if isinstance(event, Signalled):
            _check_signal(run, event)
        run = await apply(workflows, work, run, event)
    workflows.on_runs()
    workflows.on_waits()
    return run


def _check_signal(run: WorkflowRun, event: Signalled) -> None:
    if run.state.status in FINISHED:
        raise Conflict("The run has finished; start another.", code="WORKFLOW_RUN_FINISHED")
    if not may_take(parse(run.definition, KINDS), run.state, event):
        raise Conflict(
            f"The run keeps {MAX_SIGNALS} signals that no step has waited for; send it again later.",
            code="TOO_MANY_SIGNALS",
        )


def _checked(definition: Mapping[str, Any] | str, egress: EgressPolicy) -> Mapping[str, Any]:
    try:
        content = from_yaml(definition) if isinstance(definition, str) else definition
        steps = parse(content, KINDS).steps.values()
        check_steps_named(content)
        for step in steps:
            asked = step.approval.action if step.approval else None
            for name, action in (("action", step.action), ("approval", asked), ("compensate", step.compensate)):
                if action is not None:
                    _check_action(action, f"steps.{step.id}.{name}", egress)
    except RefusedDefinition as error:
        raise InvalidArgument(
            str(error),
            code="INVALID_DEFINITION",
            violations=[Violation(_field(error.path), str(error), "invalid_definition")],
        ) from error
    return content


def _units(definition: Mapping[str, Any]) -> Mapping[str, int]:
    """What the actions of a definition that has been checked ask for of resource pools."""
    steps = definition["steps"].values()
    return units_asked(step[name] for step in steps for name in ("action", "compensate") if name in step)


def _check_action(action: Mapping[str, Any], path: str, egress: EgressPolicy) -> None:
    """As far as that can be known before its expressions have values."""
    unknown = unknown_member(action)
    if unknown is not None:
        raise RefusedDefinition(f"{path}.{unknown}", "is not known")
    if not any(expressions.expressions(action)):
        try:
            action_of(action, egress)
        except RefusedAction as error:
            raise RefusedDefinition(path, f"will not do: {str(error).rstrip('.')}") from error


def _field(path: str) -> str:
    """The member of the request that a refusal is about."""
    return path if path.startswith("definition") else f"definition.{path}"


def _check_size(content: Any, field: str) -> None:
    if len(orjson.dumps(content)) > MAX_RESULT_BYTES:
        description = f"is larger than {MAX_RESULT_BYTES} bytes"
        raise InvalidArgument(
            f"The {field} {description}.",
            code="CONTENT_TOO_LARGE",
            violations=[Violation(field, description, "content_too_large")],
        )
