"""Workflows and their runs as they are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from rota_scheduler.workflows.state import Item, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One version of a workflow; `created_by` and `created_at` are the version's."""

    workspace_id: UUID
    id: UUID
    name: str
    definition: Mapping[str, Any]
    created_by: UUID
    created_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowItem:
    """An item of a step of a run.

    Attributes:
        place: In the list, from 0.
        run_id: The run of its action, or of its workflow; None before it begins.
    """

    place: int
    status: Item
    item: Any
    output: Any
    error: str | None
    run_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """A run, with the definition that it began with.

    Attributes:
        version: Counts its changes.
        causation_depth: How many rules led to it.
        root_id: The outermost of the runs that it is within; None when it is within none.
        depth: How many runs it is within (see `trees`).
        project_ids: The projects that it came of, or knows something of: whoever may not see one of them does not see
            it.
    """

    workspace_id: UUID
    id: UUID
    workflow_id: UUID
    workflow_version: int
    definition: Mapping[str, Any]
    state: State
    started_by: UUID
    created_at: datetime
    request_key: str | None = None
    finished_at: datetime | None = None
    version: int = 1
    causation_depth: int = 0
    root_id: UUID | None = None
    depth: int = 0
    project_ids: tuple[str, ...] = ()

    def knowing(self, project_ids: Iterable[str]) -> WorkflowRun:
        """The run, once it knows something of these projects as well."""
        return replace(self, project_ids=tuple(sorted({*self.project_ids, *project_ids})))
