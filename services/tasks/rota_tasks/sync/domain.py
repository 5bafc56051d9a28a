"""A client's copy of a workspace: how far it is, and what is told to it next.

The copy is read first from the read tables, kind by kind, and then follows the event log. The log is read in the order
of transactions, since positions become visible out of order (see `rota_chassis.events.log`): whatever belongs to a
transaction below the horizon `pg_snapshot_xmin` is there for good, and whatever is still to come belongs to one at or
above it. So the cursor stands on the last row below the horizon. Rows above it are told too, so that a client sees
what it has just written, but the cursor does not pass them: they come again. The order of an aggregate's events does
not matter here, because each is told as it now is.

A first reading begins at the horizon of its beginning; what changes meanwhile follows from the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WORKSPACE = "workspace"
"""The kind of a workspace that is no longer the caller's."""
MAX_PAGE_BYTES = 4 * 1024 * 1024
"""A page ends before it takes more, since a message can only be so large (`rota_chassis.rpc.server`)."""
NOTHING = UUID(int=0)
"""An id before all others."""

_BARE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a copy is.

    Attributes:
        xid: The transaction of the last event that was told; in a first reading, the horizon when it began.
        position: Of that event.
        kind: Of the last thing that was told of that event; in a first reading, that was read.
        id: The same thing.
        reading: Whether the first reading goes on.
    """

    xid: int
    position: int = 0
    kind: str = ""
    id: UUID = NOTHING
    reading: bool = False


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where the log stands.

    Attributes:
        epoch: Names the history of the database cluster: transactions of another are not comparable.
        decided: Every transaction below this one has ended.
        end: No transaction from this one on is visible.
    """

    epoch: str
    decided: int
    end: int


@dataclass(frozen=True, slots=True)
class Token:
    """What a client brings back; without a cursor, it begins anew."""

    workspace_id: UUID
    epoch: str
    cursor: Cursor | None


@dataclass(frozen=True, slots=True)
class Change:
    """A thing as it now is.

    Attributes:
        kind: The aggregate, as in the events.
        id: Which.
        version: Of its last event.
        data: Its message; None when it is gone for the user.
    """

    kind: str
    id: UUID
    version: int
    data: Any = None

    @property
    def size(self) -> int:
        """About how many bytes it takes on the wire."""
        return _BARE_BYTES + (self.data.ByteSize() if self.data is not None else 0)


@dataclass(frozen=True, slots=True)
class Page:
    """Changes, and what to go on with."""

    changes: Sequence[Change]
    next: Token
    has_more: bool


@dataclass(frozen=True, slots=True)
class Touch:
    """An event has touched a thing: its own, or one that shows something of it.

    Attributes:
        cursor: Behind it.
        settled: Whether nothing can become visible any more that comes before it.
    """

    cursor: Cursor
    settled: bool


def fit(there: Iterable[Change], more: Sequence[Change]) -> int:
    """How many of the changes fit onto a page besides those that are there; onto an empty one, the first always."""
    size = sum(each.size for each in there)
    count = 0
    for each in more:
        if size and size + each.size > MAX_PAGE_BYTES:
            break
        size += each.size
        count += 1
    return count


def advanced(cursor: Cursor, touched: Sequence[Touch]) -> Cursor:
    """The cursor behind what is settled."""
    return next((touch.cursor for touch in reversed(touched) if touch.settled), cursor)
