"""Firing on a virtual clock, whatever happens: each nominal time that has come has one account."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from rota_chassis.ids import uuid7
from rota_scheduler.schedules.catchup import Settled, Unfinished, settle
from rota_scheduler.schedules.domain import Schedule, cursor_of
from rota_scheduler.schedules.policies import MOST_BUFFERED, Misfire, Overlap, Policies, SkipReason
from rota_scheduler.schedules.timing import Timing

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIMINGS = st.one_of(
    st.builds(Timing, interval_s=st.sampled_from([1, 7, 60])),
    st.builds(Timing, cron=st.sampled_from(["* * * * *", "*/5 * * * *"]), timezone=st.just("Europe/Warsaw")),
)
POLICIES = st.builds(
    Policies,
    overlap=st.sampled_from(Overlap),
    misfire=st.sampled_from(Misfire),
    catch_up_s=st.sampled_from([0, 10, 60, 3600]),
    jitter_s=st.sampled_from([0, 5]),
)


@dataclass
class Committed:
    """What the database holds.

    Attributes:
        buffered: Runs that wait, oldest first.
    """

    schedule: Schedule
    ran: list[datetime] = field(default_factory=list)
    skipped: list[tuple[datetime, datetime]] = field(default_factory=list)
    running: list[datetime] = field(default_factory=list)
    buffered: list[datetime] = field(default_factory=list)


class Firing(RuleBasedStateMachine):
    """Replicas that read, decide, and commit or die; a clock that is set; runs that end."""

    @initialize(timing=TIMINGS, policies=POLICIES)
    def create(self, timing: Timing, policies: Policies) -> None:
        self.now = START
        schedule = Schedule(
            id=uuid7(),
            workspace_id=uuid7(),
            name="Plants",
            timing=timing,
            policies=policies,
            action={},
            next_fire_at=cursor_of(timing, policies, created_at=START, now=START, seed=""),
            created_by=uuid7(),
            created_at=START,
            updated_at=START,
        )
        self.database = Committed(schedule)
        self.first = schedule.next_fire_at

    @rule(seconds=st.sampled_from([0.5, 1, 5, 30, 90, 1000, 100_000]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(seconds=st.floats(-10, 10))
    def the_clock_is_set(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(skew_s=st.floats(-2, 2))
    def a_replica_fires(self, skew_s: float) -> None:
        self._commit(self._decide(self.now + timedelta(seconds=skew_s)))

    @rule()
    def a_replica_dies_before_its_commit(self) -> None:
        self._decide(self.now)

    @rule()
    def somebody_pauses_or_resumes(self) -> None:
        self.a_replica_fires(0)
        schedule = self.database.schedule
        self.database.schedule = replace(schedule, paused=not schedule.paused)

    @rule()
    def the_oldest_run_ends(self) -> None:
        if self.database.running:
            self.database.running.pop(0)
        if not self.database.running and self.database.buffered:
            self.database.running.append(self.database.buffered.pop(0))

    @invariant()
    def each_time_before_the_cursor_has_one_account(self) -> None:
        accounts = sorted([*((time, time) for time in self.database.ran), *self.database.skipped])
        expected = self.first
        for first, through in accounts:
            assert first == expected
            expected = self.database.schedule.spec.next_after(through)
        assert expected == self.database.schedule.next_fire_at

    @invariant()
    def overlap_is_what_was_asked_for(self) -> None:
        overlap = self.database.schedule.policies.overlap
        if overlap is not Overlap.ALLOW_ALL:
            assert len(self.database.running) <= 1
        assert len(self.database.buffered) <= {Overlap.BUFFER_ONE: 1, Overlap.BUFFER_ALL: MOST_BUFFERED}.get(overlap, 0)

    def _decide(self, now: datetime) -> Settled:
        unfinished = Unfinished(len(self.database.running), len(self.database.buffered))
        return settle(self.database.schedule, now, unfinished)

    def _commit(self, found: Settled) -> None:
        schedule = self.database.schedule
        self.database.schedule = replace(
            schedule, next_fire_at=found.cursor, runs_started=schedule.runs_started + len(found.starts)
        )
        self.database.skipped += [(skip.first, skip.through) for skip in found.skips]
        assert {skip.reason for skip in found.skips} <= set(SkipReason)
        for start in found.starts:
            if schedule.policies.overlap.ends_others:
                self.database.running.clear()
            self.database.ran.append(start.nominal_time)
            (self.database.buffered if start.buffered else self.database.running).append(start.nominal_time)


TestFiring = Firing.TestCase
TestFiring.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
