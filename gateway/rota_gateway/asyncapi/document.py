"""The whole document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.events.types import event_types

from rota_gateway.asyncapi import events, live
from rota_gateway.contract import load_contract
from rota_gateway.live.protocol import Channel
from rota_gateway.openapi.schemas import Schemas

if TYPE_CHECKING:
    from rota_gateway.openapi.schemas import Schema

ASYNCAPI_VERSION = "3.0.0"

_DESCRIPTION = """\
What Rota tells without being asked: events on NATS JetStream, for services, and the same events on web sockets, for
clients.

An event is a CloudEvent 1.0. Its data has the form of the REST API: snake_case members, RFC 3339 times in UTC, enums
as lower-case words, every member there, null or [] where there is nothing. New members may come at any time; a change
that an old subscriber could misread comes as a new version of the type (`x-rota-version`).
"""


def build_document(*, version: str) -> dict[str, Any]:
    """The AsyncAPI document; the same for the same contract, byte for byte.

    Its schemas are valid in JSON Schema 2020-12 and draft 7, which AsyncAPI builds on, and mean the same in both.

    Args:
        version: of the API.
    """
    contract = load_contract()
    schemas = Schemas(contract.comments)
    schemas.components["EventHeaders"] = events.HEADERS
    channels: dict[str, Schema] = {}
    operations: dict[str, Schema] = {}
    messages: dict[str, Schema] = {}
    for kind in event_types().values():
        messages[kind.name] = events.message(kind, schemas, contract.comments)
        channels[kind.name] = events.channel(kind, contract.comments)
        operations[kind.name] = _operation("send", kind.name, [kind.name])
    for channel in Channel:
        frames = live.frames(channel, schemas, contract.comments)
        messages |= {**frames.sent, **frames.received}
        channels[frames.channel_id] = live.channel(channel, frames)
        operations[f"{frames.channel_id}.send"] = _operation("send", frames.channel_id, frames.sent) | live.SECURITY
        operations[f"{frames.channel_id}.receive"] = (
            _operation("receive", frames.channel_id, frames.received) | live.SECURITY
        )
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {"title": "Rota", "version": version, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "events": _server("nats", "127.0.0.1:4222", "NATS with JetStream; the stream is `ROTA_EVENTS`."),
            "live": _server("ws", "127.0.0.1:8080", "The gateway. Behind TLS the protocol is wss."),
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": dict(sorted(schemas.components.items())),
            "securitySchemes": {"accessToken": live.ACCESS_TOKEN},
        },
    }


def _server(protocol: str, address: str, description: str) -> Schema:
    variable = {"default": address, "description": "Host and port."}
    return {
        "host": "{address}",
        "protocol": protocol,
        "description": description,
        "variables": {"address": variable},
    }


def _operation(action: str, channel_id: str, message_ids: Any) -> Schema:
    channel = f"#/channels/{channel_id}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{message_id}"} for message_id in message_ids],
    }
