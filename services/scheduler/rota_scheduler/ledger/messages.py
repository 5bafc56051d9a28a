"""The ledger as the contract writes it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from rota.scheduler.v1 import schedules_pb2

from rota_scheduler.ledger.domain import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from rota_scheduler.ledger.domain import Entry

_OUTCOMES = {
    Outcome.PENDING: schedules_pb2.LEDGER_OUTCOME_PENDING,
    Outcome.RAN: schedules_pb2.LEDGER_OUTCOME_RAN,
    Outcome.LATE: schedules_pb2.LEDGER_OUTCOME_LATE,
    Outcome.SKIPPED: schedules_pb2.LEDGER_OUTCOME_SKIPPED,
}
_REASONS = {
    "paused": schedules_pb2.SKIP_REASON_PAUSED,
    "overlap": schedules_pb2.SKIP_REASON_OVERLAP,
    "catch_up": schedules_pb2.SKIP_REASON_CATCH_UP,
    "expired": schedules_pb2.SKIP_REASON_EXPIRED,
    "buffer_full": schedules_pb2.SKIP_REASON_BUFFER_FULL,
    "cancelled": schedules_pb2.SKIP_REASON_CANCELLED,
    "unique": schedules_pb2.SKIP_REASON_UNIQUE,
}


def entry_message(entry: Entry) -> schedules_pb2.LedgerEntry:
    """The entry as the API shows it."""
    return schedules_pb2.LedgerEntry(
        nominal_time=_timestamp(entry.nominal_time),
        through=_timestamp(entry.through),
        outcome=_OUTCOMES[entry.outcome],
        reason=_REASONS[entry.reason] if entry.reason else schedules_pb2.SKIP_REASON_UNSPECIFIED,
        run_id=None if entry.run_id is None else str(entry.run_id),
        started_at=_timestamp(entry.started_at),
        lateness_ms=None if entry.lateness is None else entry.lateness // timedelta(milliseconds=1),
        backfilled=entry.backfilled,
    )


def _timestamp(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
