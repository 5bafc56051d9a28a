"""The live channels: a message for each frame that is sent, and each that a client may send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_chassis.events.types import event_types

from rota_gateway.live.lists import MOST_TASKS, MOST_USERS
from rota_gateway.live.protocol import CHANNEL_OF, Channel, Close, ResetReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_gateway.openapi.schemas import Schema, Schemas

ACCESS_TOKEN: Schema = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "The `access_token` of a login or registration, as header of the handshake or as first frame.",
}
SECURITY: Schema = {"security": [{"$ref": "#/components/securitySchemes/accessToken"}]}

_OFFSET: Schema = {"type": "integer", "minimum": 0, "description": "A place in the stream of events."}
_EPOCH: Schema = {"type": "string", "description": "Names the stream that the offset is of."}
_PLACE: Mapping[str, Schema] = {
    "workspace_id": {"type": "string", "format": "uuid"},
    "task_id": {"type": "string", "format": "uuid"},
}
_CLOSE_TEXTS: Mapping[Close, str] = {
    Close.NORMAL: "you closed it",
    Close.GOING_AWAY: "the gateway restarts, come back",
    Close.INTERNAL_ERROR: "a fault of ours, come back",
    Close.TRY_AGAIN_LATER: "something behind the gateway is down, come back later",
    Close.BAD_FRAME: "the query or a frame is wrong",
    Close.UNAUTHENTICATED: "no valid token, or it has expired",
    Close.TOO_SLOW: "events waited for too long, come back",
}


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of a channel.

    Attributes:
        channel_id: names the channel in the document.
        sent: messages that the gateway sends, by their id in the document.
        received: messages that it takes.
    """

    channel_id: str
    sent: Mapping[str, Schema]
    received: Mapping[str, Schema]


def frames(channel: Channel, schemas: Schemas, comments: Mapping[str, str]) -> Frames:
    """Every frame of a channel, as message objects (AsyncAPI 3.0.0, Message Object)."""
    channel_id = f"live.{channel.value}"
    sent = {
        "ready": _frame("ready", "From here on events follow.", offset=_OFFSET, epoch=_EPOCH, user_id=_string()),
        "ping": _frame("ping", "The connection stands; answer with pong or not at all."),
        "reset": _frame(
            "reset",
            "Events may have been missed: read the state anew, then go on.",
            reason=_string(enum=[reason.value for reason in ResetReason]),
            offset=_OFFSET,
            epoch=_EPOCH,
        ),
        "error": _frame(
            "error",
            "Why the socket is about to be closed.",
            code=_string(pattern="^[A-Z][A-Z0-9_]*$", description="Stable reason, for a program."),
            detail=_string(description="What to do about it."),
        ),
    }
    if channel is Channel.TASKS:
        sent["presence"] = _frame(
            "presence",
            "Who is looking at the task that the client looks at: when it begins to, and when somebody comes or goes.",
            **_PLACE,
            user_ids={"type": "array", "items": _string(format="uuid")},
        )
        sent["presence_in_project"] = _frame(
            "presence",
            "Who is looking at tasks of the project that the client has before it: first all that anybody looks at, at "
            f"most {MOST_TASKS}, then those whose company has changed, together; nobody any more when `user_ids` is "
            f"empty. At most {MOST_USERS} users of each.",
            workspace_id=_string(format="uuid"),
            project_id=_string(format="uuid"),
            tasks={
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "task_id": _string(format="uuid"),
                        "user_ids": {"type": "array", "items": _string(format="uuid")},
                    },
                    "required": ["task_id", "user_ids"],
                },
            },
        )
        sent["access"] = _frame(
            "access",
            "From now on a project, or a task, is hidden from the user: forget it and what is in it. Or it is shown: "
            "read it. Names one of the two.",
            workspace_id=_string(format="uuid"),
            project_id=_string(format="uuid"),
            task_id=_string(format="uuid"),
            visible={"type": "boolean"},
            offset=_OFFSET,
            epoch=_EPOCH,
        )
        sent["access"]["payload"]["required"] = ["type", "workspace_id", "visible", "offset", "epoch"]
    for kind in event_types().values():
        if CHANNEL_OF.get(kind.aggregate) is channel:
            text = comments.get(kind.message.DESCRIPTOR.full_name, "").replace("\n", " ")
            sent[kind.name] = _frame(
                "event",
                text,
                event={"const": kind.name},
                id=_string(format="uuid", description="Identity of the event; the same on NATS."),
                offset=_OFFSET,
                epoch=_EPOCH,
                time=_string(format="date-time", description="When it happened."),
                data=schemas.answer(kind.message.DESCRIPTOR),
            )
    received = {
        "auth": _frame("auth", "Who listens: the first frame, unless the handshake said so.", token=_string()),
        "pong": _frame("pong", "The answer to a ping; it need not come."),
    }
    if channel is Channel.TASKS:
        received["presence"] = _frame(
            "presence",
            "The client looks at this task from now on, without one at none; and has this project before it, without "
            "one none.",
            **_PLACE,
            project_id=_string(format="uuid"),
        )
        received["presence"]["payload"]["required"] = ["type"]
    return Frames(channel_id, _named(channel_id, sent), _named(channel_id, received))


def channel(channel: Channel, frames: Frames) -> Schema:
    """The channel object (AsyncAPI 3.0.0, Channel Object; WebSockets binding 0.1.0)."""
    codes = "; ".join(f"{code.value}: {text}" for code, text in _CLOSE_TEXTS.items())
    return {
        "address": f"/ws/{channel.value}",
        "description": (
            f"What happens to the {channel.value} that a user may see, as it happens. Keep the largest offset and come "
            "back with `?since=<offset>&epoch=<epoch>` to get what was missed, or a `reset`. "
            f"The gateway closes with {codes}."
        ),
        "servers": [{"$ref": "#/servers/live"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in (*frames.sent, *frames.received)},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        "since": {"type": "integer", "minimum": 0, "description": "The largest offset seen."},
                        "epoch": _EPOCH,
                    },
                },
                "headers": {
                    "type": "object",
                    "properties": {"Authorization": {"type": "string", "pattern": "^Bearer .+$"}},
                },
                "bindingVersion": "0.1.0",
            }
        },
    }


def _named(channel_id: str, messages: Mapping[str, Schema]) -> dict[str, Schema]:
    return {f"{channel_id}.{name}": {"name": name, **message} for name, message in messages.items()}


def _frame(kind: str, summary: str, **members: Schema) -> Schema:
    properties: dict[str, Schema] = {"type": {"const": kind}, **members}
    payload: Schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"summary": summary, "contentType": "application/json", "payload": payload}


def _string(**keywords: object) -> Schema:
    return {"type": "string", **keywords}
