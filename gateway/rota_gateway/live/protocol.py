"""The frames of the live channels, each one JSON object, and the codes they are closed with.

    server: ready {offset, epoch, user_id} · event {event, id, offset, epoch, time, data} · ping
            access {workspace_id, project_id | task_id, visible, offset, epoch}
            reset {reason, offset, epoch} · error {code, detail} · presence {workspace_id, task_id, user_ids}
            presence {workspace_id, project_id, tasks {task_id, user_ids}}
    client: auth {token} · pong · presence {workspace_id, task_id, project_id}

An offset is a place in the stream of events, and only means something together with its epoch, the creation of that
stream. A client keeps the largest offset it has seen and comes back with `?since=<offset>&epoch=<epoch>`; it gets
what it missed, or a `reset`: then it must read the state anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from rota_gateway.live.projects import project_before, project_of
from rota_gateway.live.scope import left_of, projects_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nats.aio.msg import Msg

    from rota_gateway.live.projects import Project

# Digits; fits 64 bits.
_LONGEST_OFFSET = 18

_OF_CLIENTS = ("auth", "pong", "presence")

PING = '{"type":"ping"}'


class Channel(StrEnum):
    """What a socket is told of."""

    TASKS = "tasks"
    NOTIFICATIONS = "notifications"


# What each channel tells of; of other aggregates none does.
AGGREGATES = {
    Channel.TASKS: (
        "task",
        "task_series",
        "project",
        "section",
        "state",
        "custom_field",
        "label",
        "saved_filter",
        "template",
        "relation",
        "checklist_item",
        "comment",
        "reaction",
        "attachment",
        "workflow_run",
    ),
    Channel.NOTIFICATIONS: ("notification",),
}
CHANNEL_OF = {aggregate: channel for channel, aggregates in AGGREGATES.items() for aggregate in aggregates}


class ResetReason(StrEnum):
    """Why a client cannot go on from its offset."""

    STREAM_REPLACED = "stream_replaced"
    OFFSET_UNKNOWN = "offset_unknown"
    EVENTS_EXPIRED = "events_expired"
    TOO_FAR_BEHIND = "too_far_behind"


class Close(IntEnum):
    """Codes of RFC 6455, section 7.4, and our own."""

    NORMAL = 1000
    GOING_AWAY = 1001
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    BAD_FRAME = 4400
    UNAUTHENTICATED = 4401
    TOO_SLOW = 4408


class Ended(Exception):
    """A conversation is over.

    Attributes:
        close: code to close the socket with.
        code: stable reason, told in an error frame before; empty for an end that is no error.
    """

    def __init__(self, close: Close, code: str = "", detail: str = "") -> None:
        super().__init__(detail)
        self.close = close
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a client wants to go on.

    Attributes:
        since: the largest offset it has seen.
        epoch: of that offset; None when it did not say.
    """

    since: int
    epoch: str | None


@dataclass(frozen=True, slots=True)
class Frame:
    """An event, encoded once for however many sockets.

    Attributes:
        offset: its place in the stream.
        channel: that it belongs to.
        workspace_id: that it happened in.
        user_id: whom it is for; None for what everyone in the workspace may see.
        time: when it happened.
        text: the frame.
        event: its type.
        projects: that it is about, each of which has to be seen; None when it does not say.
        task_id: the task that it is about, if it is one.
        left: the project that the task has just left, empty for none; None when it stays where it is.
        project: who may see the project that it is about, after it.
        before: and before it, as far as that is known.
    """

    offset: int
    channel: Channel
    workspace_id: str
    user_id: str | None
    time: datetime
    text: str
    event: str
    projects: tuple[str, ...] | None = ()
    task_id: str | None = None
    left: str | None = None
    project: Project | None = None
    before: Project | None = None

    @property
    def is_of_projects(self) -> bool:
        """Whether not everybody in the workspace may see it."""
        return self.projects is None or bool(self.projects)


def event_frame(message: Msg, channel: Channel, offset: int, epoch: str) -> Frame:
    """The frame of an event of the stream.

    Raises:
        KeyError: the message is no event of ours; as are
        ValueError: and
        TypeError: for the same reason.
    """
    headers = message.headers or {}
    event, data = headers["ce-type"], orjson.loads(message.data)
    user_id: str | None = None
    about: dict[str, Any] = {}
    if channel is Channel.NOTIFICATIONS:
        user_id = data["notification"]["user_id"]
    elif event.startswith("saved_filter."):
        saved = data["saved_filter"]
        user_id = None if saved["is_shared"] else saved["owner_id"]
    elif event.startswith("project."):
        about = {"project": project_of(data), "before": project_before(event, data)}
    elif event.startswith("task."):
        about = {"task_id": data["task"].get("id"), "left": left_of(event, data)}
    text = orjson.dumps(
        {
            "type": "event",
            "event": event,
            "id": headers["ce-id"],
            "offset": offset,
            "epoch": epoch,
            "time": headers["ce-time"],
            # The body is in the form of the REST API already.
            "data": orjson.Fragment(message.data),
        }
    ).decode()
    return Frame(
        offset,
        channel,
        headers["ce-workspaceid"],
        user_id,
        datetime.fromisoformat(headers["ce-time"]),
        text,
        event,
        projects_of(event, data),
        **about,
    )


def ready(offset: int, epoch: str, user_id: str) -> str:
    """The frame that says from where on events follow."""
    return _text({"type": "ready", "offset": offset, "epoch": epoch, "user_id": user_id})


def reset(reason: ResetReason, offset: int, epoch: str) -> str:
    """The frame that says that events may have been missed."""
    return _text({"type": "reset", "reason": reason, "offset": offset, "epoch": epoch})


def access(
    workspace_id: str,
    offset: int,
    epoch: str,
    *,
    visible: bool,
    project_id: str | None = None,
    task_id: str | None = None,
) -> str:
    """The frame that says that a project, or a task, is shown to the user from now on, or hidden."""
    about = {"project_id": project_id} if task_id is None else {"task_id": task_id}
    frame = {"type": "access", "workspace_id": workspace_id, **about, "visible": visible}
    return _text({**frame, "offset": offset, "epoch": epoch})


def error(code: str, detail: str) -> str:
    """The frame that says why the socket is about to be closed."""
    return _text({"type": "error", "code": code, "detail": detail})


def presence(workspace_id: str, task_id: str, user_ids: list[str]) -> str:
    """The frame that says who is looking at a task."""
    return _text({"type": "presence", "workspace_id": workspace_id, "task_id": task_id, "user_ids": user_ids})


def presence_in_project(workspace_id: str, project_id: str, tasks: Mapping[str, list[str]]) -> str:
    """The frame that says who is looking at which tasks of a project."""
    found = [{"task_id": task_id, "user_ids": user_ids} for task_id, user_ids in tasks.items()]
    return _text({"type": "presence", "workspace_id": workspace_id, "project_id": project_id, "tasks": found})


def parse_query(query: bytes) -> Resume | None:
    """Where to resume, by the query of the socket's address; None to begin now.

    Raises:
        Ended: the query says something else.
    """
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError as error:
        raise _bad_query("it is malformed") from error
    values = dict(pairs)
    if len(values) < len(pairs) or not values.keys() <= {"since", "epoch"}:
        raise _bad_query("only `since` and `epoch` are known, each once")
    if "since" not in values:
        return None
    since = values["since"]
    if not (since.isascii() and since.isdigit() and len(since) <= _LONGEST_OFFSET):
        raise _bad_query("`since` is an offset, a whole number")
    return Resume(int(since), values.get("epoch"))


def parse_frame(message: dict[str, Any]) -> dict[str, Any]:
    """A client's frame: an object with a type.

    Raises:
        Ended: it is something else.
    """
    text = message.get("text")
    try:
        frame = orjson.loads(text) if text is not None else None
    except orjson.JSONDecodeError:
        frame = None
    if type(frame) is not dict or frame.get("type") not in _OF_CLIENTS:
        raise Ended(Close.BAD_FRAME, "BAD_FRAME", f"Send JSON objects as text, of a type of {', '.join(_OF_CLIENTS)}.")
    return frame


def bad_presence() -> Ended:
    """The end of a conversation in which a presence frame names nothing of a workspace."""
    return Ended(
        Close.BAD_FRAME,
        "BAD_FRAME",
        "A presence frame names a `workspace_id` and a `task_id`, a `project_id` or both, or nothing.",
    )


def _bad_query(why: str) -> Ended:
    return Ended(Close.BAD_FRAME, "INVALID_QUERY", f"The query is not right: {why}.")


def _text(content: dict[str, Any]) -> str:
    return orjson.dumps(content).decode()
