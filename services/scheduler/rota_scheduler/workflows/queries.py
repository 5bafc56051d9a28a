"""What reads workflows and their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_scheduler.workflows import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.workflows.dependencies import Workflows
    from rota_scheduler.workflows.model import Workflow, WorkflowRun


def no_such_workflow() -> NotFound:
    """The answer to whoever may not know whether the workflow exists."""
    return NotFound("There is no such workflow.", code="WORKFLOW_NOT_FOUND")


def no_such_run() -> NotFound:
    """The answer to whoever may not know whether the run exists."""
    return NotFound("There is no such run of a workflow.", code="WORKFLOW_RUN_NOT_FOUND")


async def get_workflow(workflows: Workflows, user: UserPrincipal, *, workflow_id: UUID) -> Workflow:
    """One workflow.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    for attempt in range(2):
        found = await store.get(workflows.database, user_id=user.user_id, workflow_id=workflow_id)
        if found is not None:
            return found
        if attempt == 0:
            await workflows.memberships.refresh(user.user_id)
    raise no_such_workflow()


async def list_workflows(
    workflows: Workflows, user: UserPrincipal, *, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Workflow]:
    """The newest workflows that the user may see (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await workflows.memberships.require(user.user_id, workspace_id)
    return await store.page(
        workflows.database, user_id=user.user_id, limit=limit, before=before, workspace_id=workspace_id
    )


async def list_versions(
    workflows: Workflows, user: UserPrincipal, *, workflow_id: UUID, limit: int, before: int | None
) -> Sequence[Workflow]:
    """The newest versions of a workflow.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    workflow = await get_workflow(workflows, user, workflow_id=workflow_id)
    return await store.versions(
        workflows.database,
        workspace_id=workflow.workspace_id,
        workflow_id=workflow.id,
        limit=limit,
        before=before,
    )


async def get_run(workflows: Workflows, user: UserPrincipal, *, run_id: UUID) -> WorkflowRun:
    """One run.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    for attempt in range(2):
        found = await store.get_run(workflows.database, user_id=user.user_id, run_id=run_id)
        if found is not None:
            return found
        if attempt == 0:
            await workflows.memberships.refresh(user.user_id)
    raise no_such_run()


async def list_runs(
    workflows: Workflows,
    user: UserPrincipal,
    *,
    limit: int,
    before: UUID | None,
    workspace_id: UUID | None,
    workflow_id: UUID | None,
) -> Sequence[WorkflowRun]:
    """The newest runs that the user may see (see `store.page_of_runs`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await workflows.memberships.require(user.user_id, workspace_id)
    return await store.page_of_runs(
        workflows.database,
        user_id=user.user_id,
        limit=limit,
        before=before,
        workspace_id=workspace_id,
        workflow_id=workflow_id,
    )
