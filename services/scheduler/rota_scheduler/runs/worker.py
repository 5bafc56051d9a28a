"""Executing runs: claiming them ahead, taking their action, handing over what came of it (the model: `runs.domain`)."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import attach
from rota_chassis.batches import handle_batch
from rota_chassis.errors import Unavailable
from rota_chassis.logs import logger
from rota_chassis.telemetry import TRACER

from rota_scheduler.actions.retries import timeout_of
from rota_scheduler.metrics import LATENESS_SECONDS
from rota_scheduler.runs import claims, holding
from rota_scheduler.runs.completions import Completions
from rota_scheduler.runs.deadlines import Deadlines
from rota_scheduler.runs.domain import LEASE, PREFETCHED_S, RENEW_EVERY, Failed
from rota_scheduler.runs.giving_up import give_up, give_up_waiting
from rota_scheduler.runs.turns import Turns
from rota_scheduler.ticker import Ticker, next_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.batches import Fault
    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.runs.claims import Backlog, Claimed
    from rota_scheduler.runs.domain import Execute, Outcome, Run

ATTEMPT_GRACE_S = 5.0
STOP_GRACE_S = 2.0
MOST_PREFETCHED = 2_000
PACE_S = 0.02
MOST_UNWRITTEN = 2_000
_LATENESS = LATENESS_SECONDS.labels("run")
_CRASHED = Failed("Something went wrong on our side; it has been logged.", retryable=False)
_LOG = logger(__name__)


class Worker:
    """Executes runs, at most `slots` at a time.

    Args:
        database: Where the runs are.
        clock: Whose time counts.
        actions: What executes them, by the name of the member of `Action` that is set.
        slots: How many at a time.
        jitter: For the delay before another attempt.
        on_runs: Called when runs may have become available, for whoever may claim them.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        actions: Mapping[str, Execute],
        *,
        slots: int,
        jitter: Callable[[float, float], float] = random.uniform,
        on_runs: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._actions = actions
        self._slots = slots
        self._on_runs = on_runs
        self._renew_now = asyncio.Event()
        self._waiting: deque[Run] = deque()
        self._executing: dict[asyncio.Task[None], Run] = {}
        self._completions = Completions(
            database, clock, jitter=jitter, on_runs=self._released, on_written=self._claim_on
        )
        self._deadlines = Deadlines()
        self._pace = _Pace()
        self._prefetched = 0
        self._lane: tuple[UUID, str] | None = None
        self._turns = Turns()
        self._more = False
        self._stopping = False
        self._ticker = Ticker("runs", self.tick, clock)

    def wake(self) -> None:
        """Runs may have become available."""
        self._ticker.wake()

    async def run(self) -> None:
        """Execute runs until cancelled; those that do not end within two seconds then are given back."""
        writing = asyncio.create_task(self._completions.run(), name="completions")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ticker.run(), name="claims")
                group.create_task(self._keep_leases(), name="leases")
                group.create_task(self._deadlines.run())
        finally:
            await self._stop()
            self._completions.close()
            await writing

    async def tick(self) -> datetime | None:
        """Claim what is available as far as there is room, and start it.

        Returns:
            When to claim next; None when no run waits, or there is no room.
        """
        room = self._room()
        if room == 0:
            self._more = True
            return None
        if not self._more:
            first = await claims.first_available(self._database)
            if first is None or first > self._clock.now():
                return first
        now, backlog = self._clock.now(), self._turns.backlog(chain(self._executing.values(), self._waiting))
        claimed = await self._claim(now, room, backlog)
        if claimed is None:
            return now
        self._lane, self._more = claimed.lane, claimed.more
        self._turns.note(claimed, by_turn=backlog is not None)
        if claimed.ended:
            self.renew_now()
            self._released()
        self._waiting.extend(claimed.runs)
        self._start()
        if claimed.more:
            return now if self._room() else None
        due = await claims.next_available(self._database)
        return next_tick(now, taken=len(claimed.runs), batch=room, due=due)

    async def _claim(self, now: datetime, room: int, backlog: Backlog | None) -> Claimed | None:
        """Claim as many as there is room for; None when one that nobody can read was given up instead."""
        taken: claims.Taken

        async def take(work: UnitOfWork, limit: int) -> Sequence[Mapping[str, Any]]:
            nonlocal taken
            taken = await claims.take(
                work, now=now, lease_until=now + LEASE, limit=limit, after=self._lane, backlog=backlog
            )
            return taken.rows

        async def begin(work: UnitOfWork, _rows: Sequence[Mapping[str, Any]]) -> Claimed:
            return await claims.begin(work, taken, now=now)

        async def set_aside(work: UnitOfWork, row: Mapping[str, Any], fault: Fault) -> None:
            await give_up(work, row, fault, fence=row["fence"] - 1, now=now)

        claimed = await handle_batch(self._database, "run", most=room, take=take, handle=begin, set_aside=set_aside)
        if taken.allotted.unreadable:
            await give_up_waiting(self._database, taken.allotted.unreadable, now=now)
            self._released()
        return claimed

    def room(self) -> int:
        """How many new runs could begin now, none of which would overtake others that it knows of."""
        return 0 if self._more or self._stopping else self._room()

    def begin(self, runs: Sequence[Run]) -> None:
        """Execute runs that were claimed as they were made."""
        self._waiting.extend(runs)
        self._start()

    async def renew(self) -> None:
        """Prolong the leases of what is being executed, and break off what is not held any more."""
        held = list(self._executing.values())
        if not held:
            return
        async with self._database.transaction() as work:
            kept = await holding.renew(work, held, lease_until=self._clock.now() + LEASE)
        self._break_off({run.id for run in held} - kept)

    async def return_waiting(self) -> None:
        """Give back what has found no slot, for others that may have one."""
        waiting, self._waiting = list(self._waiting), deque()
        await self._give_back(waiting)

    def renew_now(self) -> None:
        """What is being executed may have been cancelled."""
        self._renew_now.set()

    async def idle(self) -> None:
        """Return when nothing is being executed, and all that was is written."""
        while self._executing or self._completions:
            if self._executing:
                await asyncio.wait(self._executing)
            await self._completions.flush()

    def _room(self) -> int:
        """How many runs to claim now."""
        if len(self._completions) >= MOST_UNWRITTEN:
            return 0
        self._prefetched = min(int(self._pace.per_second() * PREFETCHED_S), MOST_PREFETCHED)
        return max(0, self._slots + self._prefetched - len(self._executing) - len(self._waiting))

    def _start(self) -> None:
        """Execute what waits, as far as slots are free."""
        while self._waiting and len(self._executing) < self._slots and not self._stopping:
            run = self._waiting.popleft()
            task = asyncio.create_task(self._execute(run), name="run")
            self._executing[task] = run
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        run = self._executing.pop(task)
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("run.crashed", run_id=run.id, exc_info=task.exception())
            self._completions.put(run, _CRASHED)
        self._pace.ended += 1
        self._start()
        self._claim_on()

    def _claim_on(self) -> None:
        """Claim more, if there may be some, before those that were claimed ahead are all begun."""
        if self._more and len(self._waiting) <= self._prefetched // 2:
            self.wake()

    def _released(self) -> None:
        self.wake()
        self._on_runs()

    def _break_off(self, run_ids: Collection[UUID]) -> None:
        """Break off the attempts at runs that have been cancelled, or claimed by another."""
        for task, run in self._executing.items():
            if run.id in run_ids:
                task.cancel()

    async def _keep_leases(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RENEW_EVERY.total_seconds()):
                    await self._renew_now.wait()
            except TimeoutError:
                await self.return_waiting()
            self._renew_now.clear()
            try:
                await self.renew()
            except Unavailable as error:
                _LOG.warning("worker.leases_not_renewed", error=repr(error.__cause__ or error))

    async def _execute(self, run: Run) -> None:
        kind = run.kind
        if run.attempts == 1:
            _LATENESS.observe((self._clock.now() - run.nominal_time).total_seconds())
        # As `start_as_current_span`, which takes much longer: the context is the task's own, and ends with it.
        span = TRACER.start_span(f"run {kind}", kind=trace.SpanKind.INTERNAL)
        attach(trace.set_span_in_context(span))
        try:
            self._completions.put(run, await self._attempt(run, kind))
        finally:
            span.end()

    async def _attempt(self, run: Run, kind: str) -> Outcome:
        if run.attempts > 1 and run.attempts > run.retry.max_attempts:
            return Failed(run.error or "Every attempt ended without a word.", retryable=False)
        most_s = ATTEMPT_GRACE_S
        try:
            # An action watches its time itself; this is for what it does beside.
            most_s += timeout_of(run.action)
            with self._deadlines.within(most_s):
                return await self._actions[kind](run)
        except TimeoutError:
            return Failed(f"The attempt took longer than {most_s:g} s.", retryable=True, cause="timeout")
        except Exception:  # noqa: BLE001 (whatever an action raises, the run ends and says so)
            _LOG.exception("run.crashed", run_id=run.id, action=kind)
            return _CRASHED

    async def _stop(self) -> None:
        self._stopping = True
        await self._give_back(list(self._waiting))
        if self._executing:
            await asyncio.wait(self._executing, timeout=STOP_GRACE_S)
        unfinished = dict(self._executing)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        await self._give_back(list(unfinished.values()))

    async def _give_back(self, runs: Sequence[Run]) -> None:
        if not runs:
            return
        try:
            async with self._database.transaction() as work:
                await holding.give_back(work, runs, available_at=self._clock.now())
        except Unavailable as error:
            # Their leases will end, and they will be claimed again.
            _LOG.warning("worker.not_given_back", runs=len(runs), error=repr(error.__cause__ or error))
        else:
            self._on_runs()


class _Pace:
    """How many runs end in a second, as of late."""

    def __init__(self) -> None:
        self.ended = 0
        self._since = time.monotonic()
        self._per_second = 0.0

    def per_second(self) -> float:
        """Measured over `PACE_S` at least, the last of them."""
        passed = time.monotonic() - self._since
        if passed >= PACE_S:
            self._per_second = self.ended / passed
            self._since, self.ended = time.monotonic(), 0
        return self._per_second
