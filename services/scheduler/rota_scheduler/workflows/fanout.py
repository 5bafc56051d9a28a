"""The items of steps in PostgreSQL; where each stands is in the state of the run, which is locked by whoever writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs.tables import by_column, given

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.workflows.model import WorkflowRun
    from rota_scheduler.workflows.state import KeepOutcome

ITEMS = Table(
    "workflow_items",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("workflow_run_id", PgUUID, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("item", JSONB),
    Column("output", JSONB),
    Column("error", Text),
)
_OF_STEP = (
    ITEMS.c.workspace_id == bindparam("of_workspace", type_=PgUUID),
    ITEMS.c.workflow_run_id == bindparam("of_run", type_=PgUUID),
    ITEMS.c.step == bindparam("of_step", type_=Text),
)
_WRITTEN = ("workspace_id", "workflow_run_id", "step", "place", "item")
_NEW = given("new", **{name: ITEMS.c[name].type for name in _WRITTEN})
_DROP = statement(delete(ITEMS).where(*_OF_STEP))
_ADD = statement(insert(ITEMS).from_select(_WRITTEN, select(*(_NEW.c[name] for name in _WRITTEN))))
_KEEP = statement(
    update(ITEMS)
    .where(*_OF_STEP, ITEMS.c.place == bindparam("of_place", type_=Integer))
    .values(output=bindparam("output", type_=JSONB), error=bindparam("error", type_=Text))
)
_SOME = statement(select(ITEMS).where(*_OF_STEP, ITEMS.c.place == func.any(bindparam("places", type_=ARRAY(Integer)))))
_ALL = statement(select(ITEMS.c.output, ITEMS.c.error).where(*_OF_STEP).order_by(ITEMS.c.place))


async def keep_items(work: UnitOfWork, run: WorkflowRun, *, step: str, values: Sequence[Any]) -> None:
    """Write the items of a step, instead of those that it had."""
    await work.execute(_DROP, **_of(run, step))
    if values:
        rows = [
            {
                "workspace_id": run.workspace_id,
                "workflow_run_id": run.id,
                "step": step,
                "place": place,
                "item": value,
            }
            for place, value in enumerate(values)
        ]
        await work.execute(_ADD, **by_column(rows))


async def keep_outcome(work: UnitOfWork, run: WorkflowRun, kept: KeepOutcome) -> None:
    """Write what came of an item."""
    await work.execute(_KEEP, **_of(run, kept.step), of_place=kept.item, output=kept.output, error=kept.error)


async def some(
    reader: Reader, run: WorkflowRun, *, step: str, places: Sequence[int]
) -> Mapping[int, Mapping[str, Any]]:
    """Items of a step by their places: `item`, `output`, `error`."""
    rows = await reader.fetch(_SOME, **_of(run, step), places=list(places))
    return {row["place"]: row for row in rows}


async def outcomes(reader: Reader, run: WorkflowRun, *, step: str) -> Sequence[Mapping[str, Any]]:
    """What came of all items of a step, in their order: `output`, `error`."""
    return list(await reader.fetch(_ALL, **_of(run, step)))


def _of(run: WorkflowRun, step: str) -> dict[str, Any]:
    return {"of_workspace": run.workspace_id, "of_run": run.id, "of_step": step}
