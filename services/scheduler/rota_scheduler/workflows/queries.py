"""What reads workflows and their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid5

from rota_chassis.errors import NotFound

from rota_scheduler.workflows import fanout, store
from rota_scheduler.workflows.model import WorkflowItem
from rota_scheduler.workflows.state import Item, Key

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


def no_such_step() -> NotFound:
    """The answer to whoever names a step that the run does not have."""
    return NotFound("The run has no step of that name.", code="WORKFLOW_STEP_NOT_FOUND")


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


async def list_items(
    workflows: Workflows,
    user: UserPrincipal,
    *,
    run_id: UUID,
    step: str,
    status: Item | None,
    limit: int,
    after: int,
) -> Sequence[WorkflowItem]:
    """The items of a step behind a place, at most `limit`, those that stand so if that is said.

    Raises:
        NotFound: the run does not exist, or not for the user; or it has no such step (code WORKFLOW_STEP_NOT_FOUND).
    """
    run = await get_run(workflows, user, run_id=run_id)
    if step not in run.state.steps:
        raise no_such_step()
    here = run.state.steps[step]
    standing = enumerate(here.items or "")
    places = [place for place, item in standing if place > after and status in {None, item}][:limit]
    kept = await fanout.some(workflows.database, run, step=step, places=places)
    attempts = range(here.attempt, 0, -1)
    ids = {place: [uuid5(run.id, str(Key(step, attempt, place))) for attempt in attempts] for place in places}
    begun = await store.taken(
        workflows.database, workspace_id=run.workspace_id, run_ids=[each for some in ids.values() for each in some]
    )
    return [
        WorkflowItem(
            place=place,
            status=Item((here.items or "")[place]),
            item=kept[place]["item"],
            output=kept[place]["output"],
            error=kept[place]["error"],
            run_id=next((each for each in ids[place] if each in begun), None),
        )
        for place in places
        if place in kept
    ]


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
