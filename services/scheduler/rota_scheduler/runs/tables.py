"""The tables of runs: `runs` holds what has not ended, `run_history` the rest."""

from __future__ import annotations

from dataclasses import fields
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, SmallInteger, Table, Text, bindparam, column, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs.domain import Run, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.types import TypeEngine


def _columns() -> list[Column[Any]]:
    return [
        Column("workspace_id", PgUUID, primary_key=True),
        Column("id", PgUUID, primary_key=True),
        Column("schedule_id", PgUUID, nullable=False),
        Column("nominal_time", DateTime(timezone=True), nullable=False),
        Column("action", JSONB, nullable=False),
        Column("acts_for", PgUUID, nullable=False),
        Column("available_at", DateTime(timezone=True)),
        Column("status", Text, nullable=False),
        Column("fence", Integer, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("started_at", DateTime(timezone=True)),
        Column("finished_at", DateTime(timezone=True)),
        Column("task_id", PgUUID),
        Column("http_status", Integer),
        Column("error", Text),
        Column("due_at", DateTime(timezone=True)),
        Column("buffered", Boolean, nullable=False),
        Column("manual", Boolean, nullable=False),
        Column("backfilled", Boolean, nullable=False),
        Column("response", Text),
        Column("priority", SmallInteger, nullable=False),
        Column("concurrency_key", Text),
        Column("concurrency_limit", Integer, nullable=False),
        Column("work", JSONB),
        Column("result", JSONB),
        Column("allocation", JSONB),
    ]


# Seconds; indexes are made of this very expression. A step of priority is worth six seconds of waiting.
RANK = "(date_part('epoch', available_at - to_timestamp(0)) - priority * 6)"
RUNS = Table("runs", MetaData(), *_columns())
HISTORY = Table("run_history", MetaData(), *_columns())
_STATUSES = {status.value: status for status in Status}
FIELDS = tuple(each.name for each in RUNS.c)
_OF_RUN = tuple(each.name for each in fields(Run))
_IN_ORDER = itemgetter(*_OF_RUN)
_STATUS = _OF_RUN.index("status")


def given(name: str, **columns: TypeEngine[Any]) -> Any:
    """Rows handed to a statement column by column: the parameter of a column is a list, named as the column."""
    return (
        func.unnest(*(bindparam(each, type_=ARRAY(kind)) for each, kind in columns.items()))
        .table_valued(*(column(each, kind) for each, kind in columns.items()), name=name)
        .render_derived()
    )


def by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The parameters of `given` for rows, of which there is at least one."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def run_of(row: Mapping[str, Any]) -> Run:
    """A row of either table; what else it has does not matter."""
    # By position, which takes half as long as by name; thousands a second are read.
    values = list(_IN_ORDER(row))
    values[_STATUS] = _STATUSES[values[_STATUS]]
    return Run(*values)
