"""What a ledger and an outside witness say together: what was lost, doubled, late.

It reads rows and a list, and shares no code with the scheduler.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

LATE_AFTER = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the ledger.

    Attributes:
        through: The last nominal time of a stretch that was skipped at once.
        run_id: The run; None when the time was skipped.
        attempts: How many attempts at the run have begun.
    """

    schedule_id: str
    nominal_time: datetime
    through: datetime | None = None
    reason: str | None = None
    run_id: str | None = None
    status: str | None = None
    attempts: int = 0
    started_at: datetime | None = None


@dataclass
class Report:
    """What was found, each as a sentence; `is_clean` when nothing is wrong.

    Attributes:
        late: How long after its nominal time each late run started.
        repeated: How many deliveries came again with the key of an earlier one.
    """

    times: int = 0
    ran: int = 0
    skipped: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    late: list[timedelta] = field(default_factory=list)
    repeated: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost and nothing doubled."""
        return not self.lost and not self.doubled


def check(expected: Mapping[str, Sequence[datetime]], rows: Iterable[Row], delivered: Iterable[str]) -> Report:
    """Hold the ledger against the times that were expected, and against the keys that a witness was called with.

    Args:
        expected: The nominal times of each schedule.
        rows: The ledger.
        delivered: The idempotency key of each call that the witness answered with success.
    """
    report, calls = Report(), Counter(delivered)
    of_schedule: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_schedule[row.schedule_id].append(row)
    runs = {row.run_id for found in of_schedule.values() for row in found if row.run_id is not None}
    for schedule_id, times in expected.items():
        accounts: Counter[datetime] = Counter()
        for row in of_schedule[schedule_id]:
            last = row.through or row.nominal_time
            accounts.update(time for time in times if row.nominal_time <= time <= last)
            if row.nominal_time not in times:
                report.doubled.append(f"{schedule_id} {row.nominal_time}: it is no time of the schedule")
            _check_run(report, row, calls)
        report.times += len(times)
        report.lost += [f"{schedule_id} {time}: no account" for time in times if accounts[time] == 0]
        report.doubled += [f"{schedule_id} {time}: {accounts[time]} accounts" for time in times if accounts[time] > 1]
    report.doubled += [f"{key}: a call that no run made" for key in calls.keys() - runs]
    report.repeated = sum(count - 1 for count in calls.values())
    return report


def _check_run(report: Report, row: Row, calls: Mapping[str, int]) -> None:
    if row.run_id is None:
        report.skipped += 1
        return
    if row.status == "cancelled":
        report.skipped += 1
    elif row.status != "succeeded":
        report.lost.append(f"{row.schedule_id} {row.nominal_time}: its run is {row.status}")
    elif calls.get(row.run_id, 0) == 0:
        report.lost.append(f"{row.schedule_id} {row.nominal_time}: its run succeeded, and nobody was called")
    else:
        report.ran += 1
    if calls.get(row.run_id, 0) > row.attempts:
        report.doubled.append(f"{row.schedule_id} {row.nominal_time}: more calls than attempts")
    if row.started_at is not None and row.started_at - row.nominal_time > LATE_AFTER:
        report.late.append(row.started_at - row.nominal_time)
