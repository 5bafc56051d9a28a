"""An event on the wire: CloudEvents 1.0 in the NATS protocol binding's binary mode.

Attributes travel as `ce-*` headers, the body is the data in the JSON form of the REST API. Extensions: `workspaceid`,
`aggregateversion`, `actor`, `causationdepth`, `dataversion` (the version of the type that the data has the shape of;
absent means 1), and `traceparent` (CloudEvents Distributed Tracing). `Nats-Msg-Id` is the event's id, by which
JetStream drops what is published twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from rota_chassis.events.types import MalformedEvent, event_types

if TYPE_CHECKING:
    from collections.abc import Mapping

SUBJECT_PREFIX = "rota.events.v1"


@dataclass(frozen=True, slots=True)
class Event:
    """An event as its consumers see it.

    Attributes:
        id: Identity; the same at every delivery.
        type: Dotted name: "task.completed".
        source: Where it comes from: "/rota/tasks".
        workspace_id: The tenant.
        aggregate_id: The thing it happened to.
        aggregate_version: The thing's version after it happened.
        actor: Who did it: "user:<id>", "service:<name>" or "system".
        time: When.
        data: A message of rota.events.v1.
        sequence: Its place in the stream; 0 before it is published.
        traceparent: The trace it happened in, if any.
        causation_depth: How many rules, one after the other, led to it; 0 for what a user did.
    """

    id: UUID
    type: str
    source: str
    workspace_id: UUID
    aggregate_id: UUID
    aggregate_version: int
    actor: str
    time: datetime
    data: Any
    sequence: int = 0
    traceparent: str | None = None
    causation_depth: int = 0


def subject(workspace_id: UUID | str, event_type: str) -> str:
    """The NATS subject of an event: `rota.events.v1.<workspace>.<aggregate>.<event>`."""
    return f"{SUBJECT_PREFIX}.{workspace_id}.{event_type}"


def headers(row: Mapping[str, Any], source: str) -> dict[str, str]:
    """The NATS headers of an event, from its row in the log."""
    event_id = str(row["id"])
    found = {
        "Nats-Msg-Id": event_id,
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": source,
        "ce-type": row["type"],
        "ce-subject": str(row["aggregate_id"]),
        "ce-time": row["time"].isoformat().replace("+00:00", "Z"),
        "ce-workspaceid": str(row["workspace_id"]),
        "ce-aggregateversion": str(row["aggregate_version"]),
        "ce-actor": row["actor"],
    }
    if row.get("schema_version", 1) > 1:
        found["ce-dataversion"] = str(row["schema_version"])
    if row["traceparent"]:
        found["ce-traceparent"] = row["traceparent"]
    if row.get("causation_depth"):
        found["ce-causationdepth"] = str(row["causation_depth"])
    return found


def parse(message_headers: Mapping[str, str] | None, body: bytes, sequence: int) -> Event:
    """The event that a message carries.

    Raises:
        NewerEvent: it is of a version of its type that only newer code knows.
        MalformedEvent: it carries none that this version knows.
    """
    fields = message_headers or {}
    try:
        kind = event_types()[fields["ce-type"]]
        return Event(
            id=UUID(fields["ce-id"]),
            type=kind.name,
            source=fields["ce-source"],
            workspace_id=UUID(fields["ce-workspaceid"]),
            aggregate_id=UUID(fields["ce-subject"]),
            aggregate_version=int(fields["ce-aggregateversion"]),
            actor=fields.get("ce-actor", "system"),
            time=_instant(fields["ce-time"]),
            data=kind.read(orjson.loads(body), int(fields.get("ce-dataversion", 1))),
            sequence=sequence,
            traceparent=fields.get("ce-traceparent"),
            causation_depth=int(fields.get("ce-causationdepth", 0)),
        )
    except (KeyError, ValueError) as error:
        raise MalformedEvent(f"{type(error).__name__}: {error}") from error


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"no time zone in {text}")
    return found
