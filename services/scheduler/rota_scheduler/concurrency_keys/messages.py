"""Concurrency keys as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.scheduler.v1 import allocation_pb2

if TYPE_CHECKING:
    from rota_scheduler.concurrency_keys.domain import ConcurrencyKey


def key_message(key: ConcurrencyKey) -> allocation_pb2.ConcurrencyKey:
    """The key as the API shows it."""
    rate = key.rate_limit
    return allocation_pb2.ConcurrencyKey(
        key=key.key,
        workspace_id=str(key.workspace_id),
        concurrency_limit=key.concurrency_limit,
        rate_limit=None if rate is None else allocation_pb2.RateLimit(limit=rate.limit, period_s=rate.period_s),
        running=key.running,
        waiting=key.waiting,
        starts=key.starts,
    )
