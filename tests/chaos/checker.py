"""What a ledger and outside witnesses say together: what was lost, doubled, late, and how soon all was well again.

It reads rows and lists, and shares no code with the scheduler.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from faults import Window
    from witness import Delivery

LATE_AFTER = timedelta(seconds=5)
EARLY_BY = timedelta(milliseconds=50)  # clocks are read before and after
# What a fault leaves behind may take as long: the lease of who is gone, and a second to notice.
LEFT_BEHIND = timedelta(seconds=11)
RATE_OVER_S = 5
STEP_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the ledger.

    Attributes:
        through: The last nominal time of a stretch that was skipped at once.
        run_id: The run; None when the time was skipped.
        kind: Of the run's action: "http", "job" or "event".
        attempts: How many attempts at the run have begun.
    """

    schedule_id: str
    nominal_time: datetime
    through: datetime | None = None
    reason: str | None = None
    run_id: str | None = None
    kind: str | None = None
    status: str | None = None
    attempts: int = 0
    started_at: datetime | None = None


@dataclass
class Report:
    """What was found, each as a sentence; `is_clean` when nothing is wrong.

    Attributes:
        late: How long after its nominal time each late run started.
        unexplained: What was late or early while nothing happened that would explain it.
        repeated: How many deliveries came again with the key of an earlier one.
        once: How many actions that are taken once, with the end of the run, were.
    """

    times: int = 0
    ran: int = 0
    skipped: int = 0
    once: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    late: list[timedelta] = field(default_factory=list)
    repeated: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, nothing doubled, and nothing late or early without a reason."""
        return not self.lost and not self.doubled and not self.unexplained


def check(
    expected: Mapping[str, Sequence[datetime]],
    rows: Iterable[Row],
    delivered: Sequence[Delivery],
    *,
    published: Iterable[str] = (),
    windows: Sequence[Window] = (),
) -> Report:
    """Hold the ledger against the times that were expected, and against what witnesses have seen.

    Args:
        expected: The nominal times of each schedule.
        rows: The ledger.
        delivered: Calls that the witness answered with success, and jobs that workers got.
        published: The run of each event in the log that an action has published.
        windows: What happened, and when.
    """
    report, calls, events = Report(), Counter(each.key for each in delivered), Counter(published)
    of_schedule: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_schedule[row.schedule_id].append(row)
    runs = {row.run_id: row for found in of_schedule.values() for row in found if row.run_id is not None}
    for schedule_id, times in expected.items():
        accounts: Counter[datetime] = Counter()
        for row in of_schedule[schedule_id]:
            last = row.through or row.nominal_time
            accounts.update(time for time in times if row.nominal_time <= time <= last)
            if row.nominal_time not in times:
                report.doubled.append(f"{schedule_id} {row.nominal_time}: it is no time of the schedule")
            _check_run(report, row, events if row.kind == "event" else calls)
            _check_start(report, row, windows)
        report.times += len(times)
        report.lost += [f"{schedule_id} {time}: no account" for time in times if accounts[time] == 0]
        report.doubled += [f"{schedule_id} {time}: {accounts[time]} accounts" for time in times if accounts[time] > 1]
    report.doubled += [f"{key}: a delivery that no run made" for key in (calls + events).keys() - runs]
    report.repeated = sum(count - 1 for count in calls.values())
    for each in delivered:
        row = runs.get(each.key)
        if row is not None and each.at < row.nominal_time - EARLY_BY and not _explained(each.at, each.at, windows):
            report.unexplained.append(f"{row.schedule_id} {row.nominal_time}: early, at {each.at}")
    return report


def _check_run(report: Report, row: Row, seen: Mapping[str, int]) -> None:
    if row.run_id is None:
        report.skipped += 1
        return
    count = seen.get(row.run_id, 0)
    if row.status == "cancelled":
        report.skipped += 1
    elif row.status != "succeeded":
        report.lost.append(f"{row.schedule_id} {row.nominal_time}: its run is {row.status}")
    elif count == 0:
        report.lost.append(f"{row.schedule_id} {row.nominal_time}: its run succeeded, and nobody was called")
    else:
        report.ran += 1
    if row.kind == "event":
        report.once += count
    if count > (1 if row.kind == "event" else row.attempts):
        report.doubled.append(f"{row.schedule_id} {row.nominal_time}: more calls than attempts")


def _check_start(report: Report, row: Row, windows: Sequence[Window]) -> None:
    if row.started_at is None or row.started_at - row.nominal_time <= LATE_AFTER:
        return
    report.late.append(row.started_at - row.nominal_time)
    if not _explained(row.nominal_time, row.started_at, windows):
        report.unexplained.append(f"{row.schedule_id} {row.nominal_time}: late, at {row.started_at}")


def _explained(first: datetime, last: datetime, windows: Sequence[Window]) -> bool:
    return any(window.begin <= last and first <= window.end + LEFT_BEHIND for window in windows)


@dataclass(frozen=True, slots=True)
class Recovery:
    """How it went on after something had happened.

    Attributes:
        before: Deliveries a second in the time before it, or usually, if that is less: what was held up comes faster.
        lowest: The fewest within one second, while it lasted and afterwards.
        after_s: How long after its end the first second was over that had as many as those before; None when none did
            before the next thing happened.
    """

    window: Window
    before: float
    lowest: int
    after_s: float | None


def recoveries(delivered: Sequence[Delivery], windows: Sequence[Window]) -> list[Recovery]:
    """How long after each of the things that happened as much was delivered as before; repetitions do not count."""
    keys: set[str] = set()
    times = []
    for each in delivered:
        if each.key not in keys:
            keys.add(each.key)
            times.append(each.at.timestamp())
    usual = _usual(times)
    found = []
    for number, window in enumerate(windows):
        begin, end = window.begin.timestamp(), window.end.timestamp()
        until = (
            windows[number + 1].begin.timestamp() if number + 1 < len(windows) else end + LEFT_BEHIND.total_seconds()
        )
        before = min(_within(times, begin - RATE_OVER_S, begin) / RATE_OVER_S, usual)
        steps = [end + 1 + step * STEP_S for step in range(int((until - end - 1) / STEP_S))]
        again = next((at - end for at in steps if _within(times, at - 1, at) >= before), None)
        seconds = [begin + 1 + step * STEP_S for step in range(int((until - begin - 1) / STEP_S))]
        lowest = min((_within(times, at - 1, at) for at in seconds), default=0)
        found.append(Recovery(window, before, lowest, again))
    return found


def _usual(times: Sequence[float]) -> float:
    """Deliveries in a second of the whole run, the median of those that had some."""
    return statistics.median(Counter(int(at) for at in times).values()) if times else 0


def _within(times: Sequence[float], after: float, until: float) -> int:
    return bisect_right(times, until) - bisect_left(times, after)
