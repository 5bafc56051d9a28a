"""A client's copy of a workspace: how far it is, and what is told to it next.

The copy is read first from the read tables, kind by kind, and then follows the event log. The log is read in the order
of transactions, since positions become visible out of order (see `rota_chassis.events.log`): whatever belongs to a
transaction below the horizon `pg_snapshot_xmin` is there for good, and whatever is still to come belongs to one at or
above it. So the cursor stands on the last row below the horizon. Rows above it are told too, so that a client sees
what it has just written, but the cursor does not pass them: they come again. The order of an aggregate's events does
not matter here, because each is told as it now is.

A first reading begins at the horizon of its beginning; what changes meanwhile follows from the log.

What a user may see changes without events of the things themselves, when a project becomes private, or its members are
others. So a token says which projects were hidden from its user. When that is different for those that there were, the
copy begins again; a private project that is new does not matter to who never saw it.
"""

from __future__ import annotations

import hashlib
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
EVERYTHING = UUID(int=2**128 - 1)
"""An id behind all others."""

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
class Access:
    """Which projects were hidden from a user, when they were given a token.

    Attributes:
        newest: The greatest id of a project of the workspace then; ids grow, and those of projects made since are
            greater, or do no harm.
        digest: Of the hidden ones up to that; empty when there were none.
    """

    newest: UUID
    digest: str

    def still_is(self, horizon: Horizon) -> bool:
        """Whether the same projects are hidden, of those that there were."""
        return self.digest == _digest(horizon.hidden, self.newest)


def access(horizon: Horizon) -> Access:
    """What a token says that is given now."""
    return Access(horizon.newest, _digest(horizon.hidden, horizon.newest))


def _digest(hidden: Sequence[UUID], newest: UUID) -> str:
    known = b"".join(sorted(each.bytes for each in hidden if each <= newest))
    return hashlib.blake2b(known, digest_size=12).hexdigest() if known else ""


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where the log stands, and what the user does not see.

    Attributes:
        epoch: Names the history of the database cluster: transactions of another are not comparable.
        decided: Every transaction below this one has ended.
        end: No transaction from this one on is visible.
        hidden: The projects of the workspace that are hidden from the user.
        newest: The greatest id of a project of the workspace.
    """

    epoch: str
    decided: int
    end: int
    hidden: Sequence[UUID] = ()
    newest: UUID = NOTHING


@dataclass(frozen=True, slots=True)
class Token:
    """What a client brings back; without a cursor, it begins anew."""

    workspace_id: UUID
    epoch: str
    cursor: Cursor | None
    access: Access


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
