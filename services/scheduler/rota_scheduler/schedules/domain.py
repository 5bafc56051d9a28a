"""A schedule: when, how, and what."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_scheduler.schedules.days_off import WorkingTimes
from rota_scheduler.schedules.policies import Policies
from rota_scheduler.schedules.spec import Bounded, Once, next_after
from rota_scheduler.schedules.timing import RefusedTiming, spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rota_scheduler.schedules.days_off import DaysOff, OnlyOn
    from rota_scheduler.schedules.spec import Spec
    from rota_scheduler.schedules.timing import Timing


SYSTEM_WORKSPACE = UUID(int=0)
"""Where the schedules of the system itself are; no user belongs to it."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The fields are those of rota.scheduler.v1.Schedule.

    Attributes:
        action: In the JSON form of rota.scheduler.v1.Action.
        next_fire_at: The cursor: every nominal time before it is settled. Firing moves it, and nothing else that users
            see of a schedule, so `version` stays.
        runs_started: How many of its nominal times have started runs.
        failures_in_row: How many runs have failed since the last that succeeded, or since it was resumed.
        days_off: What the calendars that its timing names take out of its times at present.
    """

    id: UUID
    workspace_id: UUID
    name: str
    timing: Timing
    policies: Policies = field(default_factory=Policies)
    action: Mapping[str, Any]
    next_fire_at: datetime | None
    paused: bool = False
    pause_note: str | None = None
    runs_started: int = 0
    failures_in_row: int = 0
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1
    days_off: tuple[DaysOff | OnlyOn, ...] = field(default=(), compare=False)

    @property
    def is_system(self) -> bool:
        """Whether it is one of the system itself."""
        return self.workspace_id == SYSTEM_WORKSPACE

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'

    @cached_property
    def spec(self) -> Spec:
        """Its nominal times."""
        return _spec(self.timing, self.policies, created_at=self.created_at, seed=str(self.id), days_off=self.days_off)


def cursor_of(
    timing: Timing,
    policies: Policies,
    *,
    created_at: datetime,
    now: datetime,
    seed: str,
    days_off: Sequence[DaysOff | OnlyOn] = (),
) -> datetime:
    """Where the cursor stands of a schedule that has got its times now; a single time fires also when it is past.

    Raises:
        RefusedTiming: see `timing.spec_of`; or it ends before it starts (INVALID_SPEC).
    """
    cursor = next_after(_spec(timing, policies, created_at=created_at, seed=seed, days_off=days_off), now)
    single = spec_of(timing, created_at=created_at, seed=seed)
    if isinstance(single, Once) and policies.admits(single.at) and not any(each.passed(single.at) for each in days_off):
        cursor = single.at
    if timing.delay_s is not None and policies.starts_at is not None and policies.starts_at > now:
        once = replace(
            timing, spec={**(timing.spec or {}), "every_s": None, "anchor": None, "at": policies.starts_at.isoformat()}
        )
        cursor = next_after(_spec(once, policies, created_at=created_at, seed=seed, days_off=days_off), now) or cursor
    if cursor is None:
        given = next(name for name in ("cron", "interval_s", "at", "spec") if getattr(timing, name) is not None)
        raise RefusedTiming("SCHEDULE_NEVER_FIRES", given, "has no time from now on")
    return cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Changes to a schedule; None, or a member that is not there, keeps what is.

    Attributes:
        attempts: Members of the action that say how it is attempted (`actions.retries`), when that stays.
        timing: Members of `Timing`.
        policies: Members of `Policies`.
    """

    name: str | None = None
    action: Mapping[str, Any] | None = None
    attempts: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict)
    policies: Mapping[str, Any] = field(default_factory=dict)


def edit(schedule: Schedule, edits: Edits, *, now: datetime, is_running: bool = False) -> Schedule:
    """The schedule with the changes made; itself when they change nothing.

    New times, and new bounds of them, count from now on; from the end of a run, when they count from completions and
    one has not ended.

    Raises:
        RefusedTiming: see `cursor_of`.
    """
    edited = replace(
        schedule,
        name=schedule.name if edits.name is None else edits.name,
        action={**(schedule.action if edits.action is None else edits.action), **edits.attempts},
        timing=replace(schedule.timing, **edits.timing),
        policies=replace(schedule.policies, **edits.policies),
    )
    if edited == schedule:
        return schedule
    if _bounds_times(edited) != _bounds_times(schedule):
        cursor = cursor_of(
            edited.timing,
            edited.policies,
            created_at=edited.created_at,
            now=now,
            seed=str(edited.id),
            days_off=edited.days_off,
        )
        most = edited.policies.max_runs
        goes_on = most is None or edited.runs_started < most
        waits = is_running and edited.timing.delay_s is not None
        edited = replace(edited, next_fire_at=cursor if goes_on and not waits else None)
    return replace(edited, updated_at=now, version=schedule.version + 1)


def pause(schedule: Schedule, note: str | None, *, now: datetime) -> Schedule:
    """The schedule, paused; itself when it is, with the same note."""
    if schedule.paused and schedule.pause_note == note:
        return schedule
    return replace(schedule, paused=True, pause_note=note, updated_at=now, version=schedule.version + 1)


def resume(schedule: Schedule, *, now: datetime, is_running: bool = False) -> Schedule:
    """The schedule, not paused; itself when it is not.

    One that has no next time, as it had been set aside, has one again, unless the end of a run is to give it one.

    Raises:
        RefusedTiming: what its times are cannot be told any more.
    """
    if not schedule.paused:
        return schedule
    cursor = schedule.next_fire_at
    most = schedule.policies.max_runs
    waits = is_running and schedule.timing.delay_s is not None
    if cursor is None and not waits and (most is None or schedule.runs_started < most):
        cursor = next_after(schedule.spec, now)
    return replace(
        schedule,
        next_fire_at=cursor,
        paused=False,
        pause_note=None,
        failures_in_row=0,
        updated_at=now,
        version=schedule.version + 1,
    )


def after_run(schedule: Schedule, *, succeeded: bool, now: datetime) -> Schedule:
    """The schedule after one of its runs ended; paused when too many failed in a row."""
    counted = replace(schedule, failures_in_row=0 if succeeded else schedule.failures_in_row + 1)
    most = schedule.policies.pause_after_failures
    if most is None or counted.failures_in_row < most or counted.paused:
        return counted
    return pause(counted, f"Paused after {counted.failures_in_row} failed runs in a row.", now=now)


def after_completion(schedule: Schedule, *, now: datetime) -> Schedule:
    """The schedule after one of its runs ended: with its next time, if it waited for that; else itself."""
    most = schedule.policies.max_runs
    if schedule.timing.delay_s is None or schedule.next_fire_at is not None:
        return schedule
    if most is not None and schedule.runs_started >= most:
        return schedule
    return replace(schedule, next_fire_at=next_after(schedule.spec, now))


def _bounds_times(schedule: Schedule) -> tuple[Any, ...]:
    policies = schedule.policies
    return schedule.timing, policies.starts_at, policies.ends_at, policies.max_runs


def _spec(
    timing: Timing, policies: Policies, *, created_at: datetime, seed: str, days_off: Sequence[DaysOff | OnlyOn] = ()
) -> Spec:
    spec = spec_of(timing, created_at=created_at, seed=seed)
    if days_off:
        spec = WorkingTimes(spec, days_off)
    starts_at, ends_at = policies.starts_at, policies.ends_at
    if starts_at is None and ends_at is None:
        return spec
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        raise RefusedTiming("INVALID_SPEC", "ends_at", "is not after starts_at")
    return Bounded(spec, starts_at, ends_at)
