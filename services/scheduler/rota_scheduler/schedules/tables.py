"""The table of schedules, and what is in its rows."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.runs.allocation import ConcurrencyPolicy
from rota_scheduler.schedules.catchup import due_at
from rota_scheduler.schedules.domain import Schedule
from rota_scheduler.schedules.local import DstFold, DstGap
from rota_scheduler.schedules.policies import Misfire, Overlap, Policies
from rota_scheduler.schedules.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEDULES = Table(
    "schedules",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("spec", JSONB, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("dst_gap", Text, nullable=False),
    Column("dst_fold", Text, nullable=False),
    Column("action", JSONB, nullable=False),
    Column("overlap", Text, nullable=False),
    Column("catch_up_s", Integer, nullable=False),
    Column("misfire", Text, nullable=False),
    Column("jitter_s", Integer, nullable=False),
    Column("starts_at", DateTime(timezone=True)),
    Column("ends_at", DateTime(timezone=True)),
    Column("max_runs", Integer),
    Column("pause_after_failures", Integer),
    Column("priority", SmallInteger, nullable=False),
    Column("concurrency_key", Text),
    Column("concurrency_limit", Integer, nullable=False),
    Column("concurrency_policy", Text),
    Column("concurrency_group", Text),
    Column("rate_limit", JSONB),
    Column("resources", JSONB),
    Column("unique", JSONB),
    Column("next_fire_at", DateTime(timezone=True)),
    Column("delayed_until", DateTime(timezone=True)),
    Column("paused", Boolean, nullable=False),
    Column("pause_note", Text),
    Column("runs_started", Integer, nullable=False),
    Column("failures_in_row", Integer, nullable=False),
    Column("created_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
FIELDS = tuple(column.name for column in SCHEDULES.c)
_OF_TIMING = ("spec", "timezone", "dst_gap", "dst_fold")
_OF_POLICIES = tuple(each.name for each in fields(Policies))
_SAME = tuple(name for name in FIELDS if name not in {*_OF_TIMING, *_OF_POLICIES, "delayed_until"})


def schedule_of(row: Mapping[str, Any]) -> Schedule:
    """The schedule in a row, without its days off."""
    same = {name: row[name] for name in _SAME}
    policies = {name: row[name] for name in _OF_POLICIES}
    policies |= {"overlap": Overlap(row["overlap"]), "misfire": Misfire(row["misfire"])}
    policies["concurrency_policy"] = ConcurrencyPolicy(row["concurrency_policy"] or ConcurrencyPolicy.QUEUE)
    return Schedule(**same, timing=_timing(row), policies=Policies(**policies))


def columns_of(schedule: Schedule) -> dict[str, Any]:
    """The row of a schedule, by column."""
    same = {name: getattr(schedule, name) for name in _SAME}
    policies = {name: getattr(schedule.policies, name) for name in _OF_POLICIES}
    return {**same, **policies, **_timing_columns(schedule.timing), "delayed_until": delayed_until(schedule)}


def delayed_until(schedule: Schedule) -> datetime | None:
    """When to look at it, if that is later than its cursor."""
    if schedule.next_fire_at is None or schedule.policies.jitter_s == 0:
        return None
    return due_at(schedule, schedule.next_fire_at)


def _timing_columns(timing: Timing) -> dict[str, Any]:
    """What says when it fires, by column."""
    return {
        "spec": _spec_json(timing),
        "timezone": timing.timezone,
        "dst_gap": timing.dst_gap.value,
        "dst_fold": timing.dst_fold.value,
    }


def _spec_json(timing: Timing) -> dict[str, Any]:
    if timing.spec is not None:
        return {"spec": timing.spec}
    if timing.at is not None:
        return {"at": timing.at.isoformat()}
    if timing.interval_s is not None:
        return {"interval_s": timing.interval_s}
    return {"cron": timing.cron}


def _timing(row: Mapping[str, Any]) -> Timing:
    spec = row["spec"]
    at = spec.get("at")
    return Timing(
        cron=spec.get("cron"),
        interval_s=spec.get("interval_s"),
        at=None if at is None else datetime.fromisoformat(at),
        spec=spec.get("spec"),
        timezone=row["timezone"],
        dst_gap=DstGap(row["dst_gap"]),
        dst_fold=DstFold(row["dst_fold"]),
    )
