"""Jobs as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from rota.scheduler.v1 import workers_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rota_scheduler.runs.domain import Run


def claimed_message(run: Run) -> workers_pb2.ClaimedRun:
    """A job as the worker gets it that has claimed it."""
    payload = run.parameters.get("payload")
    return workers_pb2.ClaimedRun(
        id=str(run.id),
        workspace_id=str(run.workspace_id),
        queue=run.queue or "",
        payload=None if payload is None else ParseDict(payload, Struct()),
        fence=run.fence,
        lease_until=timestamp(run.available_at),
        attempts=run.attempts,
        max_attempts=run.retry.max_attempts,
        nominal_time=timestamp(run.nominal_time),
        schedule_id=str(run.schedule_id),
    )


def queue_message(row: Mapping[str, Any]) -> workers_pb2.Queue:
    """A queue and its counts."""
    return workers_pb2.Queue(name=row["queue"], waiting=row["waiting"], running=row["running"], delayed=row["delayed"])


def json_of(value: Value) -> Any:
    """The JSON that a value stands for; None for null, and for one that is not set."""
    return None if value.WhichOneof("kind") is None else MessageToDict(value)


def timestamp(value: datetime | None) -> Timestamp | None:
    """The instant, if there is one."""
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
