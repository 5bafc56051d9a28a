"""Events on NATS: a channel and a message for each type (CloudEvents 1.0, NATS protocol binding, binary mode)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.events.envelope import SUBJECT_PREFIX, subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.events.types import EventType

    from rota_gateway.openapi.schemas import Schema, Schemas

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID: Schema = {"type": "string", "format": "uuid", "pattern": f"^{_UUID}$"}

HEADERS: Schema = {
    "description": "The headers of every event. Others may be there: what JetStream needs begins with `Nats-`.",
    "type": "object",
    "properties": {
        "Nats-Msg-Id": {**_ID, "description": "The event's id, by which JetStream drops what is published twice."},
        "content-type": {"const": "application/json"},
        "ce-specversion": {"const": "1.0"},
        "ce-id": {**_ID, "description": "Identity of the event; the same at every delivery."},
        "ce-source": {
            "type": "string",
            "pattern": "^/rota/[a-z]+$",
            "description": "The service it comes from, for example `/rota/tasks`.",
        },
        "ce-type": {"type": "string", "description": "Dotted name of the type, for example `task.completed`."},
        "ce-subject": {**_ID, "description": "The thing it happened to: the aggregate."},
        "ce-time": {"type": "string", "format": "date-time", "description": "When it happened."},
        "ce-workspaceid": {**_ID, "description": "The workspace it happened in."},
        "ce-aggregateversion": {
            "type": "string",
            "pattern": "^[1-9][0-9]*$",
            "description": "Version of the aggregate after it happened; grows by one from event to event.",
        },
        "ce-dataversion": {
            "type": "string",
            "pattern": "^[1-9][0-9]*$",
            "description": "Version of the type that the data has the shape of; absent means 1.",
        },
        "ce-actor": {
            "type": "string",
            "pattern": f"^(user:{_UUID}|service:[a-z]+|system)$",
            "description": "Who did it.",
        },
        "ce-traceparent": {
            "type": "string",
            "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": "The trace it happened in (W3C Trace Context), if it was traced.",
        },
        "ce-causationdepth": {
            "type": "string",
            "pattern": "^[1-9][0-9]*$",
            "description": "How many rules, one after the other, led to it; absent for what a user did.",
        },
    },
    "required": [
        "Nats-Msg-Id",
        "content-type",
        "ce-specversion",
        "ce-id",
        "ce-source",
        "ce-type",
        "ce-subject",
        "ce-time",
        "ce-workspaceid",
        "ce-aggregateversion",
        "ce-actor",
    ],
}


def channel(kind: EventType, comments: Mapping[str, str]) -> Schema:
    """The channel object of a type of event (AsyncAPI 3.0.0, Channel Object)."""
    return {
        "address": subject("{workspace_id}", kind.name),
        "description": f"{_text(kind, comments)} `{SUBJECT_PREFIX}.*.{kind.name}` subscribes to every workspace.",
        "servers": [{"$ref": "#/servers/events"}],
        "parameters": {"workspace_id": {"description": "The workspace it happened in."}},
        "messages": {kind.name: {"$ref": f"#/components/messages/{kind.name}"}},
    }


def message(kind: EventType, schemas: Schemas, comments: Mapping[str, str]) -> Schema:
    """The message object of a type of event (AsyncAPI 3.0.0, Message Object)."""
    return {
        "name": kind.name,
        "title": kind.message.DESCRIPTOR.name,
        "summary": _text(kind, comments),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "allOf": [{"$ref": "#/components/schemas/EventHeaders"}, {"properties": {"ce-type": {"const": kind.name}}}],
        },
        "payload": schemas.answer(kind.message.DESCRIPTOR),
        "x-rota-version": kind.version,
    }


def _text(kind: EventType, comments: Mapping[str, str]) -> str:
    return comments.get(kind.message.DESCRIPTOR.full_name, "").replace("\n", " ")
