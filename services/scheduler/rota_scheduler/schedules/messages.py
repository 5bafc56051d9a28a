"""Schedules as the contract writes them."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp
from rota.scheduler.v1 import allocation_pb2, schedules_pb2
from rota_chassis import codec
from rota_chassis.events.log import NewEvent

from rota_scheduler.actions.secrets import masked
from rota_scheduler.runs.messages import POLICIES, shared_of, unique_of
from rota_scheduler.schedules.domain import Edits
from rota_scheduler.schedules.local import DstFold, DstGap, Note
from rota_scheduler.schedules.policies import Misfire, Overlap, Policies
from rota_scheduler.schedules.timing import Timing
from rota_scheduler.schedules.zones import zone

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rota_scheduler.schedules.domain import Schedule


_encode_action = codec.encoder(schedules_pb2.Action)
_decode_action = codec.decoder(schedules_pb2.Action)
_encode_retry = codec.encoder(schedules_pb2.RetryPolicy)
_encode_spec = codec.encoder(schedules_pb2.ScheduleSpec)
_decode_spec = codec.decoder(schedules_pb2.ScheduleSpec)
_GAPS = {
    DstGap.SKIP: schedules_pb2.DST_GAP_SKIP,
    DstGap.GAP_END: schedules_pb2.DST_GAP_GAP_END,
    DstGap.SHIFT: schedules_pb2.DST_GAP_SHIFT,
}
_FOLDS = {
    DstFold.FIRST: schedules_pb2.DST_FOLD_FIRST,
    DstFold.LAST: schedules_pb2.DST_FOLD_LAST,
    DstFold.BOTH: schedules_pb2.DST_FOLD_BOTH,
}
_GAP_OF = {number: gap for gap, number in _GAPS.items()}
_FOLD_OF = {number: fold for fold, number in _FOLDS.items()}
_OVERLAPS = {
    Overlap.SKIP: schedules_pb2.OVERLAP_SKIP,
    Overlap.BUFFER_ONE: schedules_pb2.OVERLAP_BUFFER_ONE,
    Overlap.ALLOW_ALL: schedules_pb2.OVERLAP_ALLOW_ALL,
    Overlap.BUFFER_ALL: schedules_pb2.OVERLAP_BUFFER_ALL,
    Overlap.CANCEL_OTHER: schedules_pb2.OVERLAP_CANCEL_OTHER,
    Overlap.TERMINATE_OTHER: schedules_pb2.OVERLAP_TERMINATE_OTHER,
}
_MISFIRES = {
    Misfire.SKIP: schedules_pb2.MISFIRE_SKIP,
    Misfire.ONE: schedules_pb2.MISFIRE_ONE,
    Misfire.ALL: schedules_pb2.MISFIRE_ALL,
}
_OVERLAP_OF = {number: overlap for overlap, number in _OVERLAPS.items()}
_MISFIRE_OF = {number: misfire for misfire, number in _MISFIRES.items()}
_OF_ATTEMPTS = frozenset({"retry", "timeout_s"})
_TIMES = ("cron", "interval_s", "at", "spec")
_OF_ZONE = ("timezone", "dst_gap", "dst_fold")
_NOTES = {
    Note.GAP: schedules_pb2.TIME_NOTE_GAP,
    Note.FOLD: schedules_pb2.TIME_NOTE_FOLD,
    Note.CALENDAR: schedules_pb2.TIME_NOTE_CALENDAR,
}


def action_json(action: schedules_pb2.Action) -> Mapping[str, Any]:
    """The action as it is stored."""
    stored: Mapping[str, Any] = _encode_action(action)
    return stored


def action_of(request: Any) -> Mapping[str, Any]:
    """The action of a request as it is stored, with what the request says of its attempts and the action does not."""
    beside = {name: value for name, value in _attempts_of(request).items() if not request.action.HasField(name)}
    return {**action_json(request.action), **beside}


def _attempts_of(request: Any) -> Mapping[str, Any]:
    return {
        "retry": _encode_retry(request.retry) if request.HasField("retry") else None,
        "timeout_s": request.timeout_s if request.HasField("timeout_s") else None,
    }


def timing_of(request: Any) -> Timing:
    """What a request says of times; its members are those of rota.scheduler.v1.Schedule, of which some may lack."""
    known = request.DESCRIPTOR.fields_by_name
    given = {name: name in known and request.HasField(name) for name in _TIMES}
    return Timing(
        cron=request.cron if given["cron"] else None,
        interval_s=request.interval_s if given["interval_s"] else None,
        at=request.at.ToDatetime(tzinfo=UTC) if given["at"] else None,
        spec=_encode_spec(request.spec) if given["spec"] else None,
        timezone=request.timezone or "UTC",
        dst_gap=_GAP_OF.get(request.dst_gap, DstGap.GAP_END),
        dst_fold=_FOLD_OF.get(request.dst_fold, DstFold.FIRST),
    )


def policies_of(request: Any) -> Policies:
    """How a request says to fire; what it does not say is the default."""
    plain = (
        *("catch_up_s", "jitter_s", "max_runs", "pause_after_failures"),
        *("priority", "concurrency_key", "concurrency_limit"),
    )
    return Policies(
        overlap=_OVERLAP_OF.get(request.overlap, Overlap.ALLOW_ALL),
        misfire=_MISFIRE_OF.get(request.misfire, Misfire.ONE),
        **{name: getattr(request, name) for name in plain if request.HasField(name)},
        **{
            name: getattr(request, name).ToDatetime(tzinfo=UTC)
            for name in ("starts_at", "ends_at")
            if request.HasField(name)
        },
        **shared_of(request),
        unique=unique_of(request),
    )


def edits_of(request: schedules_pb2.UpdateScheduleRequest) -> Edits:
    """What a request changes."""
    named = frozenset(request.update_mask.paths)
    timing, policies = timing_of(request), policies_of(request)
    times = {name: getattr(timing, name) for name in _TIMES}
    given = any(name in named and value is not None for name, value in times.items())
    return Edits(
        name=request.name if "name" in named else None,
        action=action_of(request) if "action" in named else None,
        attempts={} if "action" in named else {name: _attempts_of(request)[name] for name in _OF_ATTEMPTS & named},
        timing={**(times if given else {}), **{name: getattr(timing, name) for name in _OF_ZONE if name in named}},
        policies={each.name: getattr(policies, each.name) for each in fields(policies) if each.name in named},
    )


def event_of(message: Any, schedule: Schedule, now: datetime, *, version: int | None = None) -> NewEvent:
    """An event of `rota.events.v1` about a schedule as it now is."""
    return NewEvent(
        workspace_id=schedule.workspace_id,
        aggregate_id=schedule.id,
        aggregate_version=version or schedule.version,
        data=message(schedule=schedule_message(schedule)),
        time=now,
    )


def nominal_time_message(time: datetime, note: Note | None, timezone: str) -> schedules_pb2.NominalTime:
    """A nominal time as a preview shows it, on the wall of a zone."""
    local = time.astimezone(zone(timezone)).isoformat(timespec="auto" if time.microsecond else "seconds")
    return schedules_pb2.NominalTime(
        utc=_timestamp(time),
        local=local,
        offset=local[local.rindex("T") :].lstrip("T0123456789:."),
        note=_NOTES[note] if note else schedules_pb2.TIME_NOTE_UNSPECIFIED,
    )


def schedule_message(schedule: Schedule) -> schedules_pb2.Schedule:
    """The schedule as the API shows it."""
    action = _decode_action(masked(schedule.action))
    return schedules_pb2.Schedule(
        id=str(schedule.id),
        workspace_id=str(schedule.workspace_id),
        name=schedule.name,
        cron=schedule.timing.cron,
        interval_s=schedule.timing.interval_s,
        at=_timestamp(schedule.timing.at),
        timezone=schedule.timing.timezone,
        spec=None if schedule.timing.spec is None else _decode_spec(schedule.timing.spec),
        dst_gap=_GAPS[schedule.timing.dst_gap],
        dst_fold=_FOLDS[schedule.timing.dst_fold],
        overlap=_OVERLAPS[schedule.policies.overlap],
        catch_up_s=schedule.policies.catch_up_s,
        misfire=_MISFIRES[schedule.policies.misfire],
        jitter_s=schedule.policies.jitter_s,
        starts_at=_timestamp(schedule.policies.starts_at),
        ends_at=_timestamp(schedule.policies.ends_at),
        max_runs=schedule.policies.max_runs,
        pause_after_failures=schedule.policies.pause_after_failures,
        priority=schedule.policies.priority,
        concurrency_key=schedule.policies.concurrency_key,
        concurrency_limit=schedule.policies.concurrency_limit,
        concurrency_policy=POLICIES[schedule.policies.concurrency_policy],
        concurrency_group=schedule.policies.concurrency_group,
        rate_limit=_set(allocation_pb2.RateLimit, schedule.policies.rate_limit),
        resources=schedule.policies.resources,
        unique=_set(allocation_pb2.Unique, schedule.policies.unique),
        paused=schedule.paused,
        pause_note=schedule.pause_note,
        action=action,
        retry=action.retry if action.HasField("retry") else None,
        timeout_s=action.timeout_s if action.HasField("timeout_s") else None,
        next_fire_at=_timestamp(None if schedule.paused else schedule.next_fire_at),
        created_by=str(schedule.created_by),
        created_at=_timestamp(schedule.created_at),
        updated_at=_timestamp(schedule.updated_at),
        version=schedule.version,
        etag=schedule.etag,
        system=schedule.is_system,
    )


def _set(kind: Any, value: Mapping[str, Any] | None) -> Any:
    return None if value is None else kind(**value)


def _timestamp(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
