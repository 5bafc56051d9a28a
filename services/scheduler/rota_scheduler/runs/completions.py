"""Writing what came of attempts, many in one transaction.

Those who execute hand over and go on. What has been handed over is written at once when nothing has been for
`FLUSH_EVERY_S`; otherwise when so much time has passed, or `FLUSH_AT` wait, or one for which others wait is there. A
batch is one transaction: all of it or nothing. While the database is away the batch is kept and tried again; when it
is refused for what one run holds, it is halved until that one is found, which fails, and the others are written.
"""

from __future__ import annotations

import asyncio
import random
from contextvars import Context, copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from rota.events.v1 import events_pb2
from rota_chassis.batches import follows_from_data, put_aside
from rota_chassis.errors import Unavailable
from rota_chassis.events.log import NewEvent
from rota_chassis.logs import logger
from rota_chassis.telemetry import traceparent

from rota_scheduler import origins
from rota_scheduler.metrics import ATTEMPTS
from rota_scheduler.runs import finishing, holding, store
from rota_scheduler.runs.domain import Failed, Status, Succeeded, end_of, next_attempt_at
from rota_scheduler.runs.giving_up import give_up
from rota_scheduler.runs.messages import task_run_ended
from rota_scheduler.schedules import store as schedules
from rota_scheduler.schedules.domain import after_run
from rota_scheduler.schedules.messages import event_of
from rota_scheduler.schedules.rearming import rearm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.runs.domain import End, Outcome, Run

FLUSH_AT = 100
FLUSH_EVERY_S = 0.05
MOST_AT_ONCE = 1_000
RETRY_S = 0.5
_LOG = logger(__name__)


@dataclass(frozen=True, slots=True)
class Completion:
    """What came of an attempt.

    Attributes:
        context: Of the attempt, so that the events of its end belong to its trace.
    """

    run: Run
    outcome: Outcome
    context: Context


class Completions:
    """Ends runs, or lets them be tried again.

    Args:
        database: Where the runs are.
        clock: Whose time counts.
        jitter: For the delay before another attempt.
        on_runs: Called when runs may have become available by it.
        on_written: Called when fewer wait to be written.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        jitter: Callable[[float, float], float] = random.uniform,
        on_runs: Callable[[], None] = lambda: None,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._jitter = jitter
        self._on_runs = on_runs
        self._on_written = on_written
        self._waiting: list[Completion] = []
        self._some = asyncio.Event()
        self._now = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._closing = False

    def __len__(self) -> int:
        """How many wait to be written."""
        return len(self._waiting)

    def put(self, run: Run, outcome: Outcome) -> None:
        """Hand over what came of an attempt at a held run."""
        self._waiting.append(Completion(run, outcome, copy_context()))
        self._some.set()
        if len(self._waiting) >= FLUSH_AT or run.is_allotted:
            self._now.set()

    async def run(self) -> None:
        """Write until closed."""
        loop = asyncio.get_running_loop()
        last = loop.time() - FLUSH_EVERY_S
        while not self._closing or self._waiting:
            await self._some.wait()
            remaining_s = last + FLUSH_EVERY_S - loop.time()
            if remaining_s > 0 and not self._closing:
                try:
                    async with asyncio.timeout(remaining_s):
                        await self._now.wait()
                except TimeoutError:
                    pass
            last = loop.time()
            try:
                await self.flush()
            except Unavailable as error:
                _LOG.warning("completions.not_written", runs=len(self), error=repr(error.__cause__ or error))
                if self._closing:
                    return
                await asyncio.sleep(RETRY_S)

    def close(self) -> None:
        """Let `run` write what waits, and end; what cannot be written then is attempted again after its lease."""
        self._closing = True
        self._some.set()
        self._now.set()

    async def flush(self) -> None:
        """Write what waits now, `MOST_AT_ONCE` at most.

        Raises:
            Unavailable: the database is away; what is not written waits on.
        """
        async with self._flushing:
            await self._write(self._waiting[:MOST_AT_ONCE])
            if len(self._waiting) < FLUSH_AT and not self._closing:
                self._now.clear()
            if not self._waiting and not self._closing:
                self._some.clear()

    async def _write(self, batch: Sequence[Completion]) -> None:
        """Write the first of what waits; what is written, or cannot be, waits no more."""
        async for written in write(
            self._database, batch, now=self._clock.now(), jitter=self._jitter, on_runs=self._on_runs
        ):
            del self._waiting[:written]
            self._on_written()


@dataclass(frozen=True, slots=True)
class Settled:
    """A batch that has been written.

    Attributes:
        held: The runs whose holders still held them; what is said of the others counts for nothing.
        again: The runs that are tried again.
        released: How many runs may start now that waited for others of their schedules.
    """

    batch: Sequence[Completion]
    held: Collection[UUID]
    again: Collection[UUID]
    released: int

    @property
    def frees(self) -> bool:
        """Whether runs may have become available by it, or will."""
        return self.released > 0 or bool(self.again) or any(each.run.is_allotted for each in self.batch)

    def count(self) -> None:
        """Let the metrics know, once it is committed."""
        ends: dict[str, int] = {}
        for each in self.batch:
            if each.run.id not in self.held:
                _LOG.warning("run.fenced", run_id=each.run.id, fence=each.run.fence)
                end = "fenced"
            elif each.run.id in self.again:
                end = "retried"
            else:
                end = Status.SUCCEEDED if isinstance(each.outcome, Succeeded) else Status.FAILED
            ends[end] = ends.get(end, 0) + 1
        for end, count in ends.items():
            ATTEMPTS.labels(end).inc(count)


async def write(
    database: Database,
    batch: Sequence[Completion],
    *,
    now: datetime,
    jitter: Callable[[float, float], float],
    on_runs: Callable[[], None],
) -> AsyncIterator[int]:
    """Write what came of attempts; a run of which nobody can fails, rather than be executed again for ever.

    Args:
        database: Where the runs are.
        batch: In one transaction, or in several when something of it cannot be written.
        now: When they ended.
        jitter: For the delay before another attempt.
        on_runs: Called when runs may have become available by it.

    Yields:
        How many more are done with, in their order.

    Raises:
        Unavailable: the database is away.
    """
    parts = [batch] if batch else []
    while parts:
        part = parts.pop()
        try:
            async with database.transaction() as work:
                settled = await settle(work, part, now=now, jitter=jitter)
        except Exception as error:
            if not follows_from_data(error):
                raise
            if len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
                continue
            await _give_up(database, part[0].run, error, now)
            on_runs()
        else:
            settled.count()
            if settled.frees:
                on_runs()
        yield len(part)


async def _give_up(database: Database, run: Run, error: Exception, now: datetime) -> None:
    row = {"workspace_id": run.workspace_id, "id": run.id, "schedule_id": run.schedule_id}
    set_aside = partial(give_up, fence=run.fence, now=now)
    await put_aside(database, "run", row, error, set_aside, workspace_id=run.workspace_id, id=run.id)


async def settle(
    work: UnitOfWork, batch: Sequence[Completion], *, now: datetime, jitter: Callable[[float, float], float]
) -> Settled:
    """End the runs of a batch, or let them be tried again, as far as their holders still hold them."""
    again: list[Run] = []
    final: list[tuple[Completion, End]] = []
    for each in batch:
        at = _next_attempt_at(each, now, jitter)
        if at is None:
            final.append((each, end_of(each.run, each.outcome)))
        elif isinstance(each.outcome, Failed):
            failed = each.outcome
            again.append(replace(each.run, available_at=at, error=failed.error, http_status=failed.http_status))
    held = await holding.try_again(work, again)
    released = 0
    if final:
        written, released = await _finish(work, final, now)
        held |= written
    return Settled(batch, held, {run.id for run in again}, released)


def _next_attempt_at(completion: Completion, now: datetime, jitter: Callable[[float, float], float]) -> datetime | None:
    if not isinstance(completion.outcome, Failed):
        return None
    return next_attempt_at(completion.run, completion.outcome, now=now, jitter=jitter)


async def _finish(
    work: UnitOfWork, final: Sequence[tuple[Completion, End]], now: datetime
) -> tuple[frozenset[UUID], int]:
    """End runs; the ids of those that were held, and how many others may start now."""
    of_schedules = {
        (each.run.workspace_id, each.run.schedule_id) for each, _ in final if origins.is_of_schedule(each.run)
    }
    # Locked first, as when they fire: so a run is buffered either before this one ends, or not at all.
    locked, waiting = await schedules.lock_counts(work, of_schedules)
    ended = [finishing.Ended(each.run, end, each.context.run(traceparent)) for each, end in final]
    held = await finishing.finish(work, ended, finished_at=now)
    # Those of schedules that are deleted as well.
    released = await store.release(work, list(of_schedules), available_at=now)
    for each, end in final:
        run = each.run
        if run.id not in held:
            continue
        key = (run.workspace_id, run.schedule_id)
        if key in locked and (end.status is Status.FAILED or locked[key]):
            locked[key] = await _count_end(work, run, end, now)
        if "of_task" in run.action or (isinstance(each.outcome, Succeeded) and each.outcome.events):
            each.context.run(_tell, work, each, end, now)
    if waiting:
        of_waiting = {(each.run.workspace_id, each.run.schedule_id) for each, _ in final if each.run.id in held}
        await rearm(work, sorted(waiting & of_waiting), now)
    return held, released


async def _count_end(work: UnitOfWork, run: Run, end: End, now: datetime) -> int:
    """Let the locked schedule know how its run ended, which may pause it; how many have failed in a row."""
    schedule = await schedules.lock_alone(work, workspace_id=run.workspace_id, schedule_id=run.schedule_id)
    if schedule is None:
        return 0
    counted = after_run(schedule, succeeded=end.status is Status.SUCCEEDED, now=now)
    if counted != schedule:
        await schedules.save(work, counted)
    if counted.version != schedule.version:
        work.append(event_of(events_pb2.SchedulePaused, counted, now))
    return counted.failures_in_row


def _tell(work: UnitOfWork, completion: Completion, end: End, now: datetime) -> None:
    """What is told of the end besides it."""
    run, outcome = completion.run, completion.outcome
    work.append(*task_run_ended(run, now, end))
    for data in outcome.events if isinstance(outcome, Succeeded) else ():
        # Of the run, but not one of its versions.
        effect_id = uuid5(run.id, data.DESCRIPTOR.name)
        work.append(NewEvent(run.workspace_id, effect_id, 1, data, now, effect_id))
