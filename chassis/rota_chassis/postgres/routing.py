"""Whether what runs now may read from a replica."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_allowed: ContextVar[bool] = ContextVar("replica_allowed", default=False)


@contextmanager
def replica_allowed(allowed: bool) -> Iterator[None]:  # noqa: FBT001 (the one thing it says)
    """Let reads outside of transactions go to a replica within the block, or not."""
    token = _allowed.set(allowed)
    try:
        yield
    finally:
        _allowed.reset(token)


def is_replica_allowed() -> bool:
    """Whether they may; not unless a block says so."""
    return _allowed.get()
