"""A run: one nominal time of a schedule, and what became of it.

    buffered --the others of its schedule ended--> pending
    pending --claim--> running --succeeded--> succeeded
       ^                  |  +---failed-----> failed
       +--try again-------+
       ^                  |
       +--lease over------+ (claimed again with the next fence)

    buffered, pending, running --another ends it--> cancelled

A run carries the action as it was when its time came, so that it does not depend on the schedule any more.

PostgreSQL is authoritative, and nobody leads. `runs` holds what has not ended; the statement that ends runs moves them
to `run_history`, so a run is in one of the two at any time. A claim takes a batch, those that have waited longest
first, where a step of priority counts as six seconds of waiting: whoever waits is overtaken for so long at most, and
not for ever. It gives each run a lease and the next fence. A process claims as many as it has slots, and ahead of
them what it ends within `PREFETCHED_S`; what still waits for a slot when leases are renewed goes back. What came of
attempts is written in batches (`runs.completions`), and the statement that ends runs tells of it (`runs.finishing`).

Runs may share something: a concurrency key with its limit, rate and policy, units of resource pools. Such a run has a
lane, a column that the database makes of what it shares; runs of one lane wait for the same. What is taken is counted
from the running runs when others are claimed, and what is free is divided by a pure function (`runs.allocation`). When
more wait than a process has room for, it lets the workspaces take turns (`claims.Backlog`). A run may be the only one
for a key in a period, or stand for requests that follow each other closely (`runs.uniques`).

A run whose action is a job belongs to a queue of its workspace: those who execute leave it alone, and workers from
outside claim it by the same columns, for as long a lease as they ask for (`queues`).

The races:

- Two claim at once: rows are locked, and the second skips those of the first. Runs with a lane are claimed by one
  transaction at a time, under an advisory lock, so each sees what the others have taken.
- A pool shrinks, or the limits of a key change, while runs are claimed: the claim gives out what it has read. What runs
  goes on; what waits is measured by the new number.
- Two order a run for one key at once: the second waits for the row of the key, and finds the run of the first. A
  debounced run is claimed while it is put off: one of the two locks it first, and the other finds it begun, or later.
- A holder sleeps beyond its lease: the run is claimed again, and what the first holder says carries the old fence and
  is refused, for that run only. It finds out when it renews, and breaks the attempt off.
- A run is cancelled: it is in the history, so its holder is refused in the same way.
- A run ends while its schedule fires: both lock the schedule first, so the new run is buffered before, or not at all.
- A nominal time fires again (a clock that steps back, a backfill): the lock on the schedule makes them take turns, and
  adding runs looks in both tables.

A process that dies

- between firing and claiming: the run is pending, and whoever is there claims it; if it was claimed as it was made,
  after its lease.
- after claiming, before the action or in its midst: after its lease the run is claimed again. An attempt may have
  been made: calls carry the run's id as idempotency key, the same in each attempt.
- after the action, before its end is written: as before; so an action is taken at least once.
- in the midst of writing: the transaction is as a whole there or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from rota_scheduler.actions.retries import MEMBERS, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

LEASE = timedelta(seconds=10)
RENEW_EVERY = timedelta(seconds=3)
PREFETCHED_S = 0.2


_BESIDE_KIND = MEMBERS | {"of_task", "of_projects"}


class Status(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Run:
    """The fields are those of rota.scheduler.v1.Run, and what it takes to execute it.

    Attributes:
        action: In the JSON form of rota.scheduler.v1.Action: one member is set, the others are None. Beside it, which
            task it is of, if it is (`of_task`), and which projects (`of_projects`).
        acts_for: The user on whose behalf it acts.
        available_at: When it may be claimed: a pending run when its delay is over, a running one when its lease is;
            None when it has finished, or waits for another run of its schedule.
        due_at: When it should start; later than `nominal_time` by its part of the schedule's jitter.
        buffered: Whether it waits for the schedule's other runs to end, or for those it was ordered after.
        manual: Whether somebody started it; `nominal_time` is then when.
        backfilled: Whether somebody asked for its nominal time afterwards.
        priority: -100 to 100; each step puts it six seconds ahead of others.
        concurrency_key: At most `concurrency_limit` runs of the workspace with this key run at a time.
        fence: Grows with each claim; what a holder reports counts only while the run has the holder's fence.
        work: Of a job that has been claimed: `lease_s`, the seconds of its lease, and what its worker has said:
            `worker`, `percent`, `message`, and when, `reported_at` (RFC 3339).
        result: Of a job that has succeeded: what its worker wants kept, as JSON.
        allocation: What else it shares with others (see `runs.allocation.allocation_of`).
    """

    workspace_id: UUID
    id: UUID
    schedule_id: UUID
    nominal_time: datetime
    action: Mapping[str, Any]
    acts_for: UUID
    available_at: datetime | None
    status: Status = Status.PENDING
    fence: int = 0
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    task_id: UUID | None = None
    http_status: int | None = None
    error: str | None = None
    due_at: datetime | None = None
    buffered: bool = False
    manual: bool = False
    backfilled: bool = False
    response: str | None = None
    priority: int = 0
    concurrency_key: str | None = None
    concurrency_limit: int = 1
    work: Mapping[str, Any] | None = None
    result: Any = None
    allocation: Mapping[str, Any] | None = None

    @property
    def kind(self) -> str:
        """Which action it takes: "create_task", "http"; empty when none that there is."""
        for name, given in self.action.items():
            if given is not None and name not in _BESIDE_KIND:
                return name
        return ""

    @property
    def project_ids(self) -> Sequence[str]:
        """The projects that it came of: whoever may not see one of them does not see it."""
        found: Sequence[str] = self.action.get("of_projects", ())
        return found

    @property
    def is_allotted(self) -> bool:
        """Whether it shares something with others, so that one claims at a time among those that do."""
        return self.concurrency_key is not None or self.allocation is not None

    @property
    def queue(self) -> str | None:
        """Where workers take it from, when its action is a job."""
        job = self.action.get("job")
        return None if job is None else str(job["queue"])

    @property
    def retry(self) -> RetryPolicy:
        """When a failed attempt is made again."""
        return RetryPolicy.of(self.action)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What its action needs to know."""
        found: Mapping[str, Any] = self.action[self.kind]
        return found


def of_projects(action: Mapping[str, Any], project_ids: Collection[str]) -> Mapping[str, Any]:
    """The action of a run that came of projects, if it came of any."""
    return {**action, "of_projects": sorted(project_ids)} if project_ids else action


class Debounce(NamedTuple):
    """Requests with a key that follow each other closely are one run; the fields are those of the contract."""

    key: str
    wait_s: int
    max_wait_s: int = 0

    def starts_at(self, now: datetime, first_at: datetime) -> datetime:
        """When the run starts unless there is another request, of which the first came at `first_at`."""
        starts = now + timedelta(seconds=self.wait_s)
        return max(now, min(starts, first_at + timedelta(seconds=self.max_wait_s))) if self.max_wait_s else starts


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The action was taken.

    Attributes:
        response: How the HTTP answer began.
        result: What the worker of a job wants kept, as JSON.
        events: Messages of rota.events.v1 that are published in the transaction that ends the run, so each once.
    """

    task_id: str | None = None
    http_status: int | None = None
    response: str | None = None
    result: Any = None
    events: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The action was not taken, or nobody knows whether it was.

    Attributes:
        error: What went wrong, a sentence for a person.
        retryable: Whether trying again may help, unless the action's policy names its cause, or only others.
        cause: "timeout", "connection" or an HTTP status code, for the policy; None for what no policy speaks of.
        response: How the HTTP answer began.
    """

    error: str
    retryable: bool
    http_status: int | None = None
    cause: str | None = None
    response: str | None = None


Outcome = Succeeded | Failed


class End(NamedTuple):
    """What the end of a run changes of it besides the time; the fields are those of `Run`."""

    status: Status
    task_id: UUID | None = None
    http_status: int | None = None
    error: str | None = None
    response: str | None = None
    result: Any = None


class Execute(Protocol):
    """Makes one attempt at the action of a run."""

    async def __call__(self, run: Run) -> Outcome:
        """What came of it; never raises for what may happen to an action."""
        ...


def as_claimed(run: Run, now: datetime) -> Run:
    """A new run, claimed as it is made."""
    return replace(run, status=Status.RUNNING, fence=1, attempts=1, available_at=now + LEASE, started_at=now)


def end_of(run: Run, outcome: Outcome) -> End:
    """How a run ends with an outcome that is final."""
    if isinstance(outcome, Succeeded):
        task_id = UUID(outcome.task_id) if outcome.task_id else None
        return End(Status.SUCCEEDED, task_id, outcome.http_status, None, outcome.response, outcome.result)
    status = outcome.http_status or run.http_status
    return End(Status.FAILED, None, status, outcome.error, outcome.response)


def next_attempt_at(
    run: Run, failed: Failed, *, now: datetime, jitter: Callable[[float, float], float]
) -> datetime | None:
    """When to try again after a failed attempt, by the policy of the run's action; None when not at all."""
    policy = run.retry
    if not policy.retries(failed.cause, may_pass=failed.retryable):
        return None
    delay = retry_delay(run.attempts, jitter, policy)
    if delay is None:
        return None
    if policy.max_age_s is not None and now + delay > (run.started_at or now) + timedelta(seconds=policy.max_age_s):
        return None
    return now + delay


def retry_delay(
    attempts: int, jitter: Callable[[float, float], float], policy: RetryPolicy | None = None
) -> timedelta | None:
    """How long to wait after a retryable failure: exponential, with full jitter.

    Source: Brooker, "Exponential Backoff And Jitter".

    Args:
        attempts: Attempts made so far.
        jitter: A number between two, uniformly (`random.uniform`).
        policy: Absent means the default: at most 2, 8, 32 and 128 s pass after the first four attempts.

    Returns:
        The delay; None when the attempts are used up.
    """
    policy = policy or RetryPolicy()
    if attempts >= policy.max_attempts:
        return None
    return timedelta(seconds=jitter(0, policy.most_delay_s(attempts)))
