"""Ending held runs in PostgreSQL: one statement moves them to the history and tells of it in the log.

Thousands a second end. To make the event of each end here, to encode it and to send it took a third of what a process
does for a run; all that it says is in the row. It is what `messages.run_finished` says of those that end otherwise.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from rota.events.v1 import events_pb2
from rota_chassis.events.log import EVENTS, WRITTEN
from rota_chassis.events.types import event_type_of
from rota_chassis.ids import uuid7
from rota_chassis.postgres.statements import statement
from sqlalchemy import DateTime, Integer, Text, bindparam, case, delete, func, literal_column, null, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs.allocation import ConcurrencyPolicy
from rota_scheduler.runs.domain import End, Run
from rota_scheduler.runs.holding import held_by, holders
from rota_scheduler.runs.messages import FINISHED_VERSION
from rota_scheduler.runs.store import as_it_ended, to_history
from rota_scheduler.runs.tables import HISTORY, RUNS, given

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork
    from sqlalchemy import ColumnElement

_KIND = event_type_of(events_pb2.RunFinished)
_OUTCOME = given(
    "outcome",
    workspace_id=PgUUID(),
    id=PgUUID(),
    fence=Integer(),
    status=Text(),
    task_id=PgUUID(),
    http_status=Integer(),
    error=Text(),
    response=Text(),
    result=JSONB(),
    action_kind=Text(),
    event_id=PgUUID(),
    traceparent=Text(),
)
_ENDED = (
    delete(RUNS)
    .where(held_by(_OUTCOME))
    .returning(
        *as_it_ended(
            **{name: _OUTCOME.c[name] for name in End._fields},
            finished_at=bindparam("finished_at", type_=DateTime(timezone=True)),
        ),
        _OUTCOME.c.action_kind,
        _OUTCOME.c.event_id,
        _OUTCOME.c.traceparent,
    )
    .cte("ended")
)


def _text(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'")


def _object(**members: Any) -> ColumnElement[Any]:
    return func.jsonb_build_object(*chain.from_iterable((_text(name), value) for name, value in members.items()))


def _instant(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.to_char(func.timezone(_text("UTC"), value), _text('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))


def _or(value: ColumnElement[Any], otherwise: str) -> ColumnElement[Any]:
    return func.coalesce(value, _text(otherwise))


def _progress(work: ColumnElement[Any]) -> ColumnElement[Any]:
    said = _object(
        percent=work["percent"],
        message=_or(work["message"].astext, ""),
        worker=_or(work["worker"].astext, ""),
        reported_at=work["reported_at"],
    )
    return case((work.is_not(None), said))


def _row(name: str, of: Any, **columns: ColumnElement[Any]) -> Any:
    """A row of these columns for each row `of` another; as JSON it takes two thirds of what an object's members do."""
    return select(*(column.label(each) for each, column in columns.items())).correlate(of).lateral(name)


def _run(of: Any) -> Any:
    """The run as the contract writes it in JSON."""
    ended = of.c
    has_key = ended.concurrency_key.is_not(None)
    return _row(
        "run",
        of,
        id=ended.id,
        schedule_id=ended.schedule_id,
        workspace_id=ended.workspace_id,
        nominal_time=_instant(ended.nominal_time),
        status=ended.status,
        attempts=ended.attempts,
        started_at=_instant(ended.started_at),
        finished_at=_instant(ended.finished_at),
        task_id=ended.task_id,
        http_status=ended.http_status,
        error=ended.error,
        manual=ended.manual,
        response=ended.response,
        priority=ended.priority,
        action_kind=ended.action_kind,
        result=ended.result,
        progress=_progress(ended.work),
        concurrency_key=ended.concurrency_key,
        concurrency_limit=case((has_key, ended.concurrency_limit)),
        concurrency_policy=case((has_key, _or(ended.allocation["policy"].astext, ConcurrencyPolicy.QUEUE))),
        concurrency_group=ended.allocation["group"],
        rate_limit=ended.allocation["rate"],
        resources=_or(ended.allocation["resources"], "{}"),
        wait_reason=null(),
        project_ids=_or(ended.action["of_projects"], "[]"),
    )


def _event(ended: Any, data: Any) -> dict[str, Any]:
    return {
        "workspace_id": ended.workspace_id,
        "id": ended.event_id,
        "aggregate": _text(_KIND.aggregate),
        "aggregate_id": ended.id,
        "aggregate_version": literal_column(str(FINISHED_VERSION)),
        "type": _text(_KIND.name),
        "schema_version": literal_column(str(_KIND.version)),
        "data": func.to_jsonb(data.table_valued()),
        "actor": _text("system"),
        "time": ended.finished_at,
        "traceparent": ended.traceparent,
        "causation_depth": literal_column("0"),
    }


_RUN = _run(_ENDED)
_DATA = _row("data", _RUN, run=_RUN.table_valued())
_EVENT = _event(_ENDED.c, _DATA)
_TOLD = (
    insert(EVENTS)
    .from_select(WRITTEN, select(*(_EVENT[name] for name in WRITTEN)).select_from(_ENDED, _RUN, _DATA))
    .cte("told")
)
_FINISH = statement(to_history(_ENDED).add_cte(_TOLD).returning(HISTORY.c.id))


class Ended(NamedTuple):
    """A held run, how it ends, and in which trace (`telemetry.traceparent`)."""

    run: Run
    end: End
    traceparent: str | None = None


async def finish(work: UnitOfWork, ended: Sequence[Ended], *, finished_at: datetime) -> frozenset[UUID]:
    """Move runs that are held with their fences to the history, and tell of it; the ids of those that still were."""
    if not ended:
        return frozenset()
    runs, ends, traceparents = zip(*ended, strict=True)
    found = await work.fetch(
        _FINISH,
        **holders(runs),
        **dict(zip(End._fields, map(list, zip(*ends, strict=True)), strict=True)),
        action_kind=[run.kind for run in runs],
        event_id=[uuid7() for _ in runs],
        traceparent=list(traceparents),
        finished_at=finished_at,
    )
    if found:
        work.note_events()
    return frozenset(row["id"] for row in found)
