"""Where runs come from that no schedule has started: a rule, a step of a workflow, or another run.

Written in the transaction that queues the run, and read when it is executed: what the run does carries how many rules
led to it, so that rules that set off each other come to an end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, DateTime, MetaData, SmallInteger, Table, bindparam, func, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.runs.domain import Run

ORIGINS = Table(
    "run_origins",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("run_id", PgUUID, primary_key=True),
    Column("rule_id", PgUUID),
    Column("workflow_run_id", PgUUID),
    Column("causation_depth", SmallInteger, nullable=False),
    Column("retry_of", PgUUID),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
_ADD = statement(
    insert(ORIGINS)
    .values({column.name: bindparam(column.name) for column in ORIGINS.c if column.name != "created_at"})
    .on_conflict_do_nothing()
)
_GET = statement(
    select(ORIGINS).where(ORIGINS.c.workspace_id == bindparam("workspace_id"), ORIGINS.c.run_id == bindparam("run_id"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What started a run, when it was no schedule.

    Attributes:
        rule_id: The rule that queued it.
        workflow_run_id: The run of a workflow whose step it is.
        causation_depth: How many rules, one after the other, led to it.
        retry_of: The run whose action it takes once more.
    """

    rule_id: UUID | None = None
    workflow_run_id: UUID | None = None
    causation_depth: int = 0
    retry_of: UUID | None = None


OF_A_SCHEDULE = Origin()


def is_of_schedule(run: Run) -> bool:
    """Whether a schedule has started the run; each of the others stands for one of its own."""
    return run.schedule_id != run.id


async def add(work: UnitOfWork, runs: Sequence[Run], origin: Origin) -> None:
    """Note where new runs come from."""
    await work.execute_many(
        _ADD,
        [
            {
                "workspace_id": run.workspace_id,
                "run_id": run.id,
                "rule_id": origin.rule_id,
                "workflow_run_id": origin.workflow_run_id,
                "causation_depth": origin.causation_depth,
                "retry_of": origin.retry_of,
            }
            for run in runs
        ],
    )


async def of_run(reader: Reader, run: Run) -> Origin:
    """Where a run comes from."""
    if is_of_schedule(run):
        return OF_A_SCHEDULE
    return await of_id(reader, workspace_id=run.workspace_id, run_id=run.id)


async def of_id(reader: Reader, *, workspace_id: UUID, run_id: UUID) -> Origin:
    """Where the run of an id comes from."""
    row = await reader.fetch_one(_GET, workspace_id=workspace_id, run_id=run_id)
    if row is None:
        return OF_A_SCHEDULE
    return Origin(
        rule_id=row["rule_id"],
        workflow_run_id=row["workflow_run_id"],
        causation_depth=row["causation_depth"],
        retry_of=row["retry_of"],
    )
