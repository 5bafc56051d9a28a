"""Firing the schedules that are due."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from rota.events.v1 import events_pb2
from rota_chassis.batches import handle_batch
from rota_chassis.ids import uuid7

from rota_scheduler.ledger import store as ledger
from rota_scheduler.metrics import LATENESS_SECONDS
from rota_scheduler.runs import store as runs
from rota_scheduler.runs import uniques
from rota_scheduler.runs.domain import Run, Status, as_claimed
from rota_scheduler.runs.messages import run_finished
from rota_scheduler.schedules import catchup, store
from rota_scheduler.schedules.messages import event_of
from rota_scheduler.schedules.policies import Overlap, SkipReason
from rota_scheduler.schedules.spec import next_after
from rota_scheduler.ticker import next_tick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rota_chassis.batches import Fault
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.schedules.dependencies import Schedules
    from rota_scheduler.schedules.domain import Schedule

BATCH = 200
_COUNTING = (Overlap.SKIP, Overlap.BUFFER_ONE, Overlap.BUFFER_ALL)
_ENDED = "The next run of the schedule has ended this one."


async def fire_schedules(schedules: Schedules) -> datetime | None:
    """Fire a batch of the schedules that are due; each cursor moves in the transaction that adds its runs.

    Returns:
        When to fire next: at once while there may be more, None when no schedule waits.
    """
    next_due = await store.next_due(schedules.database)
    now = schedules.clock.now()
    if next_due is None or next_due > now:
        return next_due

    async def fire(work: UnitOfWork, rows: Sequence[Mapping[str, Any]]) -> Sequence[tuple[Schedule, Sequence[Run]]]:
        return await settle(work, await store.whole(work, rows), now, room=schedules.room())

    settled = await handle_batch(
        schedules.database,
        "schedule",
        most=BATCH,
        take=lambda work, limit: store.take_due(work, now=now, limit=limit),
        handle=fire,
        set_aside=partial(set_aside, now=now),
    )
    if settled is None:
        return now
    started = [run for _, new in settled for run in new]
    schedules.begin([run for run in started if run.status is Status.RUNNING])
    for run in started:
        LATENESS_SECONDS.labels("schedule").observe((now - (run.due_at or now)).total_seconds())
    if any(run.status is Status.PENDING for run in started):
        schedules.on_runs()
    if any(new and schedule.policies.overlap is Overlap.TERMINATE_OTHER for schedule, new in settled):
        schedules.on_terminated()
    return next_tick(now, taken=len(settled), batch=BATCH, due=await store.next_due(schedules.database))


async def set_aside(work: UnitOfWork, row: Mapping[str, Any], fault: Fault, *, now: datetime) -> None:
    """Pause a schedule that cannot be read, or whose times cannot be told; its owner may resume it."""
    note = f"Paused, as its time could not be worked out ({fault.reason})."
    paused = await store.set_aside(work, row, note=note, now=now)
    if paused is not None and fault.is_told:
        (schedule,) = await store.whole(work, [paused])
        work.append(event_of(events_pb2.SchedulePaused, schedule, now))


async def settle(
    work: UnitOfWork, locked: Sequence[Schedule], now: datetime, *, room: int = 0
) -> Sequence[tuple[Schedule, Sequence[Run]]]:
    """Settle what has come of locked schedules: move their cursors, write runs and what is skipped.

    At most `room` of the runs are claimed as they are made, of those that need not wait for others.

    Returns:
        The schedules as they then are, each with its new runs.
    """
    exclusive = [each for each in locked if each.policies.overlap in _COUNTING]
    counts = await runs.unfinished(work, [(each.workspace_id, each.id) for each in exclusive])
    unfinished = {schedule_id: catchup.Unfinished(*count) for schedule_id, count in counts.items()}
    settled = [(each, catchup.settle(each, now, unfinished.get(each.id, catchup.Unfinished()))) for each in locked]
    runs_of = [[_run(schedule, start, now) for start in found.starts] for schedule, found in settled]
    await _keep_unique(work, settled, runs_of, now)
    await store.advance(
        work, [(each, found.cursor, len(new)) for (each, found), new in zip(settled, runs_of, strict=True)]
    )
    await ledger.add(work, [(schedule, skip) for schedule, found in settled for skip in found.skips])
    after = []
    for (schedule, found), started in zip(settled, runs_of, strict=True):
        new = []
        for run in started:
            claimed = room > 0 and not run.buffered and not run.is_allotted and run.queue is None
            room -= claimed
            new.append(as_claimed(run, now) if claimed else run)
        runs_started = schedule.runs_started + len(new)
        after.append((replace(schedule, next_fire_at=found.cursor, runs_started=runs_started), new))
    await _end_others(work, after, now)
    added = [run for _, new in after for run in new]
    await runs.add(work, [run for run in added if run.status is Status.PENDING])
    held = await runs.add_claimed(work, [run for run in added if run.status is Status.RUNNING], started_at=now)
    return [
        (schedule, [run for run in new if run.status is Status.PENDING or run.id in held]) for schedule, new in after
    ]


async def _keep_unique(
    work: UnitOfWork,
    settled: Sequence[tuple[Schedule, catchup.Settled]],
    runs_of: Sequence[list[Run]],
    now: datetime,
) -> None:
    """Let the times be skipped for whose keys there is a run, or another starts now."""
    wanted = [
        uniques.Wanted(schedule.workspace_id, unique["key"], unique["period_s"], run.id)
        for (schedule, _), new in zip(settled, runs_of, strict=True)
        if (unique := schedule.policies.unique) is not None
        for run in new
    ]
    if not wanted:
        return
    refused = {each.run_id for each in wanted} - await uniques.take(work, wanted, now=now)
    for (schedule, found), new in zip(settled, runs_of, strict=True):
        skipped = [run.nominal_time for run in new if run.id in refused]
        if skipped and found.cursor is None:
            # It was not the last time of all, and no run will end after which there would be another.
            found.cursor = next_after(schedule.spec, now if schedule.timing.delay_s else new[-1].nominal_time)
        found.skips += [catchup.Skip(time, time, SkipReason.UNIQUE) for time in skipped]
        new[:] = [run for run in new if run.id not in refused]


async def _end_others(work: UnitOfWork, settled: Sequence[tuple[Schedule, Sequence[Run]]], now: datetime) -> None:
    """Cancel what has not ended of schedules whose new run is to be alone."""
    for schedule, started in settled:
        if not started or not schedule.policies.overlap.ends_others:
            continue
        ended = await runs.cancel(
            work, workspace_id=schedule.workspace_id, schedule_id=schedule.id, error=_ENDED, finished_at=now
        )
        for run in ended:
            work.append(run_finished(run, now))


def _run(schedule: Schedule, start: catchup.Start, now: datetime) -> Run:
    return Run(
        workspace_id=schedule.workspace_id,
        id=uuid7(),
        schedule_id=schedule.id,
        nominal_time=start.nominal_time,
        action=schedule.action,
        acts_for=schedule.created_by,
        available_at=None if start.buffered else now,
        due_at=start.due_at,
        buffered=start.buffered,
        **priority_of(schedule),
    )


def priority_of(schedule: Schedule) -> dict[str, Any]:
    """What the runs of a schedule have of it for those who claim them."""
    policies = schedule.policies
    return {
        "priority": policies.priority,
        "concurrency_key": policies.concurrency_key,
        "concurrency_limit": policies.concurrency_limit,
        "allocation": policies.allocation,
    }
