"""Concurrency keys as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.scheduler.v1 import allocation_pb2
from rota_chassis.events.log import NewEvent

if TYPE_CHECKING:
    from datetime import datetime

    from rota_scheduler.concurrency_keys.domain import ConcurrencyKey, Limits
    from rota_scheduler.runs.allocation import RateLimit


def key_message(key: ConcurrencyKey) -> allocation_pb2.ConcurrencyKey:
    """The key as the API shows it."""
    return allocation_pb2.ConcurrencyKey(
        key=key.key,
        workspace_id=str(key.workspace_id),
        concurrency_limit=key.concurrency_limit,
        rate_limit=_rate_message(key.rate_limit),
        running=key.running,
        waiting=key.waiting,
        starts=key.starts,
    )


def event_of(message: Any, limits: Limits, now: datetime) -> NewEvent:
    """An event of `rota.events.v1` about the limits of a key as they now are."""
    key = allocation_pb2.ConcurrencyKey(
        key=limits.key,
        workspace_id=str(limits.workspace_id),
        concurrency_limit=limits.concurrency_limit,
        rate_limit=_rate_message(limits.rate_limit),
    )
    return NewEvent(
        workspace_id=limits.workspace_id,
        aggregate_id=limits.id,
        aggregate_version=limits.version,
        data=message(concurrency_key=key),
        time=now,
    )


def _rate_message(rate: RateLimit | None) -> allocation_pb2.RateLimit | None:
    return None if rate is None else allocation_pb2.RateLimit(limit=rate.limit, period_s=rate.period_s)
