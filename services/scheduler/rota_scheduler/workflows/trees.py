"""What may grow from one run of a workflow: the runs that its steps start, and what those start.

How many of a tree go on is counted from the runs themselves. Who starts one within a tree does so under a lock of the
tree until the commit, so that two at once see each other's. A transaction that starts some in several trees takes them
in the order of their roots, after the rows that it locks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import Integer, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.workflows.tables import RUNS

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

_SEED = 0x526F7461_74726565  # "Rotatree"
_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_ROOT = bindparam("root_id", type_=PgUUID)
_LOCK = statement(
    select(func.pg_advisory_xact_lock(func.uuid_hash_extended(_ROOT, literal_column(f"CAST({_SEED} AS bigint)"))))
)
_WITHIN = (
    select(literal_column("1"))
    .where(RUNS.c.workspace_id == _WORKSPACE, RUNS.c.root_id == _ROOT, RUNS.c.finished_at.is_(None))
    .limit(bindparam("most", type_=Integer))
    .subquery()
)
_GOING_ON = statement(select(func.count()).select_from(_WITHIN))
_PLACE = statement(
    select(func.coalesce(RUNS.c.root_id, RUNS.c.id).label("root_id"), RUNS.c.depth).where(
        RUNS.c.workspace_id == _WORKSPACE, RUNS.c.id == bindparam("id", type_=PgUUID)
    )
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of each tree.

    Attributes:
        runs: How many runs may go on within its root at a time.
        depth: How many may be within each other, the root not counted.
    """

    runs: int = 10_000
    depth: int = 8

    @property
    def too_deep(self) -> str:
        """The sentence for whoever starts one too deep."""
        return f"Workflows within workflows are at most {self.depth} deep."

    @property
    def full(self) -> str:
        """The sentence for whoever starts one too many."""
        return f"{self.runs} runs of workflows go on within the outermost one, as many as may; let some end first."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is in its tree.

    Attributes:
        root_id: The outermost run.
        depth: How many runs it is within.
    """

    root_id: UUID
    depth: int


async def place_of(reader: Reader, *, workspace_id: UUID, run_id: UUID) -> Place | None:
    """Where a run is; None when it is gone."""
    row = await reader.fetch_one(_PLACE, workspace_id=workspace_id, id=run_id)
    return None if row is None else Place(row["root_id"], row["depth"])


async def room(work: UnitOfWork, limits: Limits, *, workspace_id: UUID, root_id: UUID) -> int:
    """How many more runs a tree may have, which is locked until the transaction ends; below 0 if it has too many."""
    await work.fetch_value(_LOCK, root_id=root_id)
    going_on: int = await work.fetch_value(_GOING_ON, workspace_id=workspace_id, root_id=root_id, most=limits.runs + 1)
    return limits.runs - going_on
