"""The tables of workflows and their runs, and what a row of them is."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, DateTime, Integer, MetaData, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.workflows.model import Workflow, WorkflowRun
from rota_scheduler.workflows.state import RunStatus, State, StepState, StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

_METADATA = MetaData()


def _of_version() -> list[Column[Any]]:
    return [
        Column("name", Text, nullable=False),
        Column("definition", JSONB, nullable=False),
        Column("created_by", PgUUID, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
    ]


WORKFLOWS = Table(
    "workflows",
    _METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    *_of_version(),
    Column("version", Integer, nullable=False),
)
VERSIONS = Table(
    "workflow_versions",
    _METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("version", Integer, primary_key=True),
    *_of_version(),
)
RUNS = Table(
    "workflow_runs",
    _METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("workflow_id", PgUUID, nullable=False),
    Column("workflow_version", Integer, nullable=False),
    Column("definition", JSONB, nullable=False),
    Column("state", JSONB, nullable=False),
    Column("wake_at", DateTime(timezone=True)),
    Column("request_key", Text),
    Column("started_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("version", Integer, nullable=False),
    Column("causation_depth", SmallInteger, nullable=False),
    Column("root_id", PgUUID),
    Column("depth", SmallInteger, nullable=False),
    Column("project_ids", JSONB),
)
ACTIONS = Table(
    "workflow_actions",
    _METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("run_id", PgUUID, primary_key=True),
    Column("workflow_run_id", PgUUID, nullable=False),
    Column("key", Text, nullable=False),
)
SIGNALS = Table(
    "workflow_signals",
    _METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("workflow_run_id", PgUUID, primary_key=True),
    Column("request_key", Text, primary_key=True),
)


def workflow_of(row: Mapping[str, Any]) -> Workflow:
    """A row of workflows, or of their versions."""
    return Workflow(**{each.name: row[each.name] for each in fields(Workflow)})


def run_of(row: Mapping[str, Any]) -> WorkflowRun:
    """A row of runs; what else it has does not matter."""
    columns = {each.name: row[each.name] for each in fields(WorkflowRun)}
    kept = {"state": state_of_json(row["state"]), "project_ids": tuple(row["project_ids"] or ())}
    return WorkflowRun(**columns | kept)


# What was not there from the beginning is left out where it says nothing, so that replicas from before can read it.
_LATER = {each.name: each.default for each in fields(StepState)[7:]}


def state_json(state: State) -> dict[str, Any]:
    """A state as it is kept."""
    steps = {name: _step_json(step) for name, step in state.steps.items()}
    rest = {each.name: getattr(state, each.name) for each in fields(state) if each.name != "steps"}
    if state.attempt == 1:
        del rest["attempt"]
    return {**rest, "signals": [list(signal) for signal in state.signals], "steps": steps}


def _step_json(step: StepState) -> dict[str, Any]:
    members = {each.name: getattr(step, each.name) for each in fields(step)}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in members.items()
        if name not in _LATER or value != _LATER[name]
    }


def state_of_json(stored: Mapping[str, Any]) -> State:
    """A state that was kept."""
    steps = {
        name: StepState(**step | _instants(step) | {"status": StepStatus(step["status"])})
        for name, step in stored["steps"].items()
    }
    signals = tuple((name, data) for name, data in stored["signals"])
    return State(**{**stored, "status": RunStatus(stored["status"]), "steps": steps, "signals": signals})


def failed_json(stored: Any, *, error: str) -> dict[str, Any]:
    """What becomes of a state that was kept when its run fails, whatever it holds.

    One that cannot be read is given up: what was done is not known then, so that the run has no steps.
    """
    try:
        state_of_json(stored)
    except (AttributeError, KeyError, TypeError, ValueError):
        stored = {"steps": {}, "signals": []}
    return {**stored, "status": RunStatus.FAILED.value, "error": error}


def _instants(step: Mapping[str, Any]) -> dict[str, datetime | None]:
    names = ("until", "started_at", "finished_at")
    return {name: datetime.fromisoformat(step[name]) if step[name] else None for name in names}
