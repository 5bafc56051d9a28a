"""The action `workflow`: a run of a workflow, which is not waited for.

Delivered twice: the run's id is the request id, so that a repeated attempt finds what the first has started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import orjson
from rota_chassis.errors import RotaError
from rota_chassis.identity import ROLE_USER, Principal, UserPrincipal, acting_as

from rota_scheduler import origins
from rota_scheduler.actions.failures import failed_call
from rota_scheduler.runs.domain import Failed, Succeeded
from rota_scheduler.workflows import commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_scheduler.runs.domain import Outcome, Run
    from rota_scheduler.workflows.dependencies import Workflows


class StartWorkflow:
    """Starts the runs; within one of a workflow they are of its tree, whose limits hold (see `workflows.trees`)."""

    def __init__(self, workflows: Callable[[], Workflows]) -> None:
        self._workflows = workflows

    async def __call__(self, run: Run) -> Outcome:
        """Make one attempt."""
        workflows, given = self._workflows(), run.parameters
        try:
            origin = await origins.of_run(workflows.database, run)
            with acting_as(Principal(user_id=run.acts_for, workspace_id=run.workspace_id, service="scheduler")):
                started = await commands.start_workflow(
                    workflows,
                    UserPrincipal(run.acts_for, run.workspace_id, ROLE_USER, None),
                    workflow_id=UUID(given["workflow_id"]),
                    content=given.get("input"),
                    request_id=str(run.id),
                    causation_depth=origin.causation_depth,
                    within=origin.workflow_run_id,
                    project_ids=run.project_ids,
                )
        except RotaError as error:
            if error.code == "WORKFLOW_TREE_TOO_DEEP":
                return Failed(error.detail, retryable=False)
            return failed_call(error)
        return Succeeded(response=orjson.dumps({"workflow_run_id": str(started.id)}).decode())
