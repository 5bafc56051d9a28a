"""Tasks of a file that recur: the scheduler is asked once for a batch, before its transaction.

Nothing is kept by asking, so that a process that dies in between leaves nothing, and the next asks again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from protovalidate import Validator
from rota_chassis.errors import InvalidArgument
from rota_chassis.rpc.pipeline import violations_of

from rota_tasks.imports.domain import Problem, TaskRecord
from rota_tasks.series import planning
from rota_tasks.series.domain import DATES, occurrence_time
from rota_tasks.series.recurrence_messages import recurrence_message
from rota_tasks.tasks.days import zones
from rota_tasks.tasks.domain import OPEN, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_tasks.imports.domain import Record
    from rota_tasks.series.recurrence import Recurrence
    from rota_tasks.tasks.dependencies import Tasks

_RULES = Validator()


async def planned(tasks: Tasks, records: Sequence[Record]) -> Sequence[Record]:
    """The records, at most 500, with the series that their tasks begin; a note where a rule will not do.

    Raises:
        Unavailable: some begin one, and the scheduler cannot be asked now.
    """
    found = list(records)
    asked: dict[int, Mapping[str, Any]] = {}
    for index, record in enumerate(records):
        if not isinstance(record, TaskRecord) or record.recurrence is None:
            continue
        rule = _known(record.recurrence)
        reason = _unfit(record, rule)
        if reason is None:
            asked[index] = {**record.fields, "recurrence": rule, "time_zone": _zone(record)}
        else:
            found[index] = _without(record, reason)
    answers = await planning.begun_together(tasks, list(asked.values()))
    for index, answer in zip(asked, answers, strict=True):
        record = records[index]
        if isinstance(record, TaskRecord):
            found[index] = _with(record, answer)
    return found


def _known(rule: Recurrence | None) -> Recurrence | None:
    return rule if rule is None or rule.time_zone in zones() else replace(rule, time_zone="")


def _zone(record: TaskRecord) -> str:
    name: str = record.fields.get("time_zone") or ""
    return name if name in zones() else ""


def _unfit(record: TaskRecord, rule: Recurrence | None) -> str | None:
    if record.fields.get("status", Status.TODO) not in OPEN:
        return "it is closed"
    wrong = violations_of(_RULES, recurrence_message(rule)) if rule is not None else ()
    return f"{wrong[0].field} {wrong[0].description}" if wrong else None


def _with(record: TaskRecord, answer: Mapping[str, Any] | InvalidArgument) -> TaskRecord:
    if isinstance(answer, InvalidArgument):
        return _without(record, answer.detail)
    # Of a zone that there is not the writer tells.
    fields = {**answer, "time_zone": record.fields.get("time_zone") or answer["time_zone"]}
    if _goes_on(record, fields["recurrence"]):
        # As it was exported: not the first occurrence of its rule, but a later one.
        fields |= {name: record.fields.get(name) for name in fields if name in DATES}
        fields["occurrence"] = record.occurrence
    return replace(record, fields=fields)


def _goes_on(record: TaskRecord, rule: Recurrence) -> bool:
    """Whether the file names an occurrence of the kind that the rule has: a day, or an instant."""
    try:
        time = occurrence_time(record.occurrence or "")
    except (ValueError, OverflowError):
        return False
    return isinstance(time, datetime) == isinstance(rule.start, datetime)


def _without(record: TaskRecord, reason: str) -> TaskRecord:
    detail = f"The task recurs ({record.recurs[:100]}), which is left out: {reason}"[:490].rstrip(".")
    return replace(record, notes=(*record.notes, Problem(record.place, "RECURRENCE_LEFT_OUT", f"{detail}.")))
