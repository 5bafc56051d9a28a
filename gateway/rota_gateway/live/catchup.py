"""What a client missed: begins a subscription, and gives the frames that go before the first live event."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rota_chassis.events.envelope import SUBJECT_PREFIX

from rota_gateway.live import protocol
from rota_gateway.live.protocol import AGGREGATES, Channel, Close, Ended, ResetReason
from rota_gateway.live.stream import StreamLost, TooFarBehind, replay, stream_state

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from nats.aio.client import Client

    from rota_gateway.live.hub import Hub
    from rota_gateway.live.projects import Project
    from rota_gateway.live.protocol import Resume
    from rota_gateway.live.subscriber import Subscriber

# With more workspaces than this, events of all are read, and those of others dropped here.
_MAX_WORKSPACES = 16


async def catch_up(nats: Client, hub: Hub, subscriber: Subscriber, resume: Resume | None) -> AsyncGenerator[str, None]:
    """Begin to tell `subscriber` of events; returns the frames to write before what it is then told.

    Raises:
        Ended: the stream cannot be asked now.
    """
    reason = await _why_not(nats, hub, resume) if resume is not None else None
    # From here to the end nothing waits, so that no event passes in between.
    position = hub.begin(subscriber)
    if resume is None:
        return _only(protocol.ready(position, hub.epoch, subscriber.user_id))
    if reason is not None:
        return _only(
            protocol.ready(position, hub.epoch, subscriber.user_id), protocol.reset(reason, position, hub.epoch)
        )
    first = protocol.ready(resume.since, hub.epoch, subscriber.user_id)
    if resume.since >= position:
        subscriber.begun_at = resume.since
        return _only(first)
    if resume.since >= hub.recent.floor:
        told = (hub.told(subscriber, frame) for frame in hub.recent.after(resume.since))
        return _only(first, *(text for text in told if text is not None))
    return _replayed(nats, hub, subscriber, resume.since, position)


async def _why_not(nats: Client, hub: Hub, resume: Resume) -> ResetReason | None:
    if resume.epoch not in {None, hub.epoch}:
        return ResetReason.STREAM_REPLACED
    if hub.recent.floor <= resume.since <= hub.position:
        return None
    try:
        state = await stream_state(nats)
    except StreamLost as error:
        raise _lost() from error
    if resume.since > state.last:
        return ResetReason.OFFSET_UNKNOWN
    if resume.since < state.first - 1:
        return ResetReason.EVENTS_EXPIRED
    return None


async def _only(*texts: str) -> AsyncGenerator[str, None]:
    for text in texts:
        yield text


async def _replayed(
    nats: Client, hub: Hub, subscriber: Subscriber, since: int, position: int
) -> AsyncGenerator[str, None]:
    epoch = hub.epoch
    projects: dict[str, Project] = {}
    yield protocol.ready(since, epoch, subscriber.user_id)
    try:
        async for offset, message in replay(nats, _subjects(subscriber), since, position):
            frame = protocol.event_frame(message, subscriber.channel, offset, epoch)
            if frame.project is not None and frame.projects:
                (project_id,) = frame.projects
                before = frame.before or projects.get(project_id)
                projects[project_id] = frame.project
                frame = replace(frame, before=before)
            text = hub.told(subscriber, frame)
            if text is not None:
                yield text
    except TooFarBehind:
        yield protocol.reset(ResetReason.TOO_FAR_BEHIND, position, epoch)
    except StreamLost as error:
        raise _lost() from error


def _subjects(subscriber: Subscriber) -> list[str]:
    workspaces: Iterable[str] = ("*",)
    if subscriber.channel is Channel.TASKS and 0 < len(subscriber.workspaces) <= _MAX_WORKSPACES:
        workspaces = subscriber.workspaces
    return [
        f"{SUBJECT_PREFIX}.{workspace}.{aggregate}.*"
        for workspace in workspaces
        for aggregate in AGGREGATES[subscriber.channel]
    ]


def _lost() -> Ended:
    detail = "Missed events cannot be read at the moment; come back."
    return Ended(Close.TRY_AGAIN_LATER, "UPSTREAM_UNAVAILABLE", detail)
