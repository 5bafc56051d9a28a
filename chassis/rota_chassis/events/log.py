"""The event log: outbox, audit trail and history of a service in one table, written with the change it tells of.

An aggregate's row is locked before its events are written, and each event carries the aggregate's version; so
positions of one aggregate grow in the order of its versions, and the relay may publish whatever is committed in
position order. Across aggregates a later position can become visible before an earlier one, so whoever reads the log
by cursor takes two steps: note the highest position and then a transaction id of one's own (`pg_current_xact_id()`);
once `pg_snapshot_xmin(pg_current_snapshot())` has reached that id, read up to that position, since every transaction
that could hold one below it has been decided. Leaving out rows whose `xid` is not below the horizon is not enough: a
decided row may lie behind an undecided one of a later transaction, and the cursor would pass that. Ordering by `xid`
would break the order of an aggregate, since a transaction may have its id long before it gets the lock; and
`pg_snapshot_xmax` says which transactions have ended, not which have begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    bindparam,
    insert,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_chassis.events.types import event_type_of, event_types
from rota_chassis.identity import current_principal
from rota_chassis.ids import uuid7
from rota_chassis.postgres.statements import statement
from rota_chassis.telemetry import traceparent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from google.protobuf.message import Message

EVENTS = Table(
    "events",
    MetaData(),
    Column("position", BigInteger, Identity(always=True)),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("aggregate", Text, nullable=False),
    Column("aggregate_id", PgUUID, nullable=False),
    Column("aggregate_version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("schema_version", SmallInteger, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("actor", Text, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("traceparent", Text),
    Column("causation_depth", SmallInteger, nullable=False),
    Column("published_at", DateTime(timezone=True)),
)

DATA = (EVENTS.c.type, EVENTS.c.schema_version, EVENTS.c.data)
"""The columns that `data_of` needs."""

WRITTEN = tuple(column.name for column in EVENTS.c if column.name not in {"position", "published_at"})
"""The columns that are written; the others follow by themselves."""

INSERT_EVENT = statement(insert(EVENTS).values({name: bindparam(name) for name in WRITTEN}))


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened to an aggregate.

    Attributes:
        workspace_id: The tenant it belongs to.
        aggregate_id: The thing it happened to.
        aggregate_version: Version of the thing after it happened; unique for the thing.
        data: A message of rota.events.v1; its class is the type of the event.
        time: When it happened; absent means now.
        id: Identity of the event; absent means a new one.
        causation_depth: How many rules, one after the other, led to it; absent means as many as to the current request.
    """

    workspace_id: UUID
    aggregate_id: UUID
    aggregate_version: int
    data: Message
    time: datetime | None = None
    id: UUID | None = None
    causation_depth: int | None = None


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """A new event with who did it and in which trace, ready to be written."""

    event: NewEvent
    actor: str
    traceparent: str | None
    causation_depth: int

    @classmethod
    def of(cls, event: NewEvent) -> PendingEvent:
        """Take the actor and the trace from the current request."""
        return next(cls.of_all([event]))

    @classmethod
    def of_all(cls, events: Iterable[NewEvent]) -> Iterator[PendingEvent]:
        """The same for several."""
        principal, trace = current_principal(), traceparent()
        actor, depth = (principal.actor, principal.causation_depth) if principal else ("system", 0)
        for event in events:
            yield cls(event, actor, trace, depth if event.causation_depth is None else event.causation_depth)

    def row(self) -> dict[str, Any]:
        """The values of `WRITTEN`, by name."""
        kind = event_type_of(type(self.event.data))
        return {
            "workspace_id": self.event.workspace_id,
            "id": self.event.id or uuid7(),
            "aggregate": kind.aggregate,
            "aggregate_id": self.event.aggregate_id,
            "aggregate_version": self.event.aggregate_version,
            "type": kind.name,
            "schema_version": kind.version,
            "data": kind.encode(self.event.data),
            "actor": self.actor,
            "time": self.event.time or datetime.now(UTC),
            "traceparent": self.traceparent,
            "causation_depth": self.causation_depth,
        }


def data_of(row: Mapping[str, Any]) -> Any:
    """The data of an event in the log (`DATA`), whatever version it was written in, as the message of today.

    Raises:
        NewerEvent: it was written by newer code.
    """
    return event_types()[row["type"]].read(row["data"], row["schema_version"])


def json_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Like `data_of`, in its JSON form.

    Raises:
        NewerEvent: it was written by newer code.
    """
    return event_types()[row["type"]].upcast(row["data"], row["schema_version"])
