"""The hub: follows the stream of events and hands each, encoded once, to the sockets that may see it.

One reader for all sockets. It is authoritative for `position`: everything up to there has been handed out, so that a
socket which begins at a position misses nothing. Beginning is done without waiting in between; what a client missed
before comes from `recent`, or is replayed from the stream up to the position (see `session`).

Of what happens in a private project only those hear who may see it when they would (see `projects`): the news of who
that is come on the same stream, before what happens afterwards. Who cannot see it any more is told so.

When NATS goes away, the reader goes on from its position once it is back. When the stream is another one then, or no
longer has what follows, every socket is told to reset.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rota_chassis.errors import RotaError
from rota_chassis.logs import logger

from rota_gateway.live import protocol
from rota_gateway.live.memberships import CHANGES, parse_change
from rota_gateway.live.protocol import CHANNEL_OF, Channel, Close, Ended, ResetReason
from rota_gateway.live.recent import Recent
from rota_gateway.live.stream import StreamLost, follow, stream_state
from rota_gateway.metrics import LIVE_EVENTS, LIVE_SOCKETS

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from rota_gateway.live.memberships import Change, Membership
    from rota_gateway.live.presence import Presence
    from rota_gateway.live.projects import Projects
    from rota_gateway.live.protocol import Frame
    from rota_gateway.live.stream import StreamState
    from rota_gateway.live.subscriber import Subscriber

RETRY_S = 0.25
# Clocks of services differ by no more than this.
CLOCK_SKEW = timedelta(seconds=5)
_LOG = logger(__name__)


class Hub:
    """Fans events out.

    Attributes:
        position: offset up to which everything has been handed out.
        epoch: of the stream; empty until it has been found.
        recent: the latest events.
        found: set once the stream has been found.
        silent: set while nobody listens.
    """

    def __init__(self, nats: Client, projects: Projects, presence: Presence) -> None:
        self._nats = nats
        self._projects = projects
        self._presence = presence
        self._joining: set[asyncio.Task[None]] = set()
        self._by_workspace: defaultdict[str, set[Subscriber]] = defaultdict(set)
        self._by_user: defaultdict[str, set[Subscriber]] = defaultdict(set)
        self.position = 0
        self.epoch = ""
        self.recent = Recent()
        self.found = asyncio.Event()
        self.silent = asyncio.Event()
        self.silent.set()

    async def run(self) -> None:
        """Follow the stream until cancelled."""
        try:
            await self._follow()
        finally:
            for joining in list(self._joining):
                joining.cancel()

    async def _follow(self) -> None:
        lost = False
        while True:
            try:
                if self._take_up(await stream_state(self._nats)):
                    await self._learn_anew()
                if lost:
                    _LOG.info("live.recovered", position=self.position)
                    lost = False
                async with aclosing(follow(self._nats, self.position)) as events:
                    async for offset, message in events:
                        self._hand_out(offset, message)
            except StreamLost as error:
                if not lost:
                    _LOG.warning("live.interrupted", position=self.position, error=str(error))
                    lost = True
                await asyncio.sleep(RETRY_S)

    def watch(self, subscriber: Subscriber) -> None:
        """From now on tell a subscriber of changes of its user's memberships."""
        self._by_user[subscriber.user_id].add(subscriber)
        self.silent.clear()
        LIVE_SOCKETS.labels(subscriber.channel.value).inc()

    def begin(self, subscriber: Subscriber) -> int:
        """From now on tell a subscriber of events; returns the position, after which they follow."""
        subscriber.begun_at = self.position
        for workspace_id in subscriber.workspaces:
            # One that the user has joined just now is added once its projects are known.
            if self._projects.knows(workspace_id):
                self._by_workspace[workspace_id].add(subscriber)
        return self.position

    def leave(self, subscriber: Subscriber) -> None:
        """Forget a subscriber."""
        LIVE_SOCKETS.labels(subscriber.channel.value).dec()
        _discard(self._by_user, subscriber.user_id, subscriber)
        for workspace_id in subscriber.workspaces:
            _discard(self._by_workspace, workspace_id, subscriber)
        if not self._by_user:
            self.silent.set()

    def end_all(self) -> None:
        """End every conversation: the gateway is going away."""
        for subscribers in list(self._by_user.values()):
            for subscriber in subscribers:
                subscriber.end(Ended(Close.GOING_AWAY))

    def told(self, subscriber: Subscriber, frame: Frame) -> str | None:
        """What a subscriber is told of an event, if anything: all of it, or that it is hidden from now on."""
        if not subscriber.may_see(frame):
            return None
        membership = subscriber.workspaces.get(frame.workspace_id)
        if not frame.is_of_projects or (membership is not None and membership.sees_all):
            return frame.text
        if frame.event == "project.deleted" and frame.project is not None:
            return frame.text if frame.project.open_to(subscriber.user_id) else None
        private = self._projects.among(frame.workspace_id, frame.projects)
        if all(each.open_to(subscriber.user_id) for each in private):
            return frame.text
        return self._farewell(subscriber, frame)

    def _farewell(self, subscriber: Subscriber, frame: Frame) -> str | None:
        """What is told to who may not see an event, but may have seen what it is about until then."""
        at = (frame.workspace_id, frame.offset, self.epoch)
        if frame.before is not None and frame.projects and frame.before.open_to(subscriber.user_id):
            return protocol.access(*at, visible=False, project_id=frame.projects[0])
        if frame.left is not None and self._projects.sees(subscriber, frame.workspace_id, frame.left):
            return protocol.access(*at, visible=False, task_id=frame.task_id)
        return None

    async def _learn_anew(self) -> None:
        while True:
            try:
                await self._projects.learn_anew()
            except RotaError as error:
                _LOG.warning("live.projects_unknown", error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _take_up(self, state: StreamState) -> bool:
        """Go on from the position, or from the end; whether events were missed."""
        if not self.found.is_set():
            self._reposition(state)
            self.found.set()
        elif state.epoch != self.epoch:
            self._reset(ResetReason.STREAM_REPLACED, state)
            return True
        elif not state.first - 1 <= self.position <= state.last:
            self._reset(ResetReason.EVENTS_EXPIRED, state)
            return True
        return False

    def _reposition(self, state: StreamState) -> None:
        self.epoch, self.position = state.epoch, state.last
        self.recent.begin(state.last)

    def _reset(self, reason: ResetReason, state: StreamState) -> None:
        self._reposition(state)
        _LOG.warning("live.reset", reason=reason.value, position=self.position)
        for subscribers in self._by_user.values():
            for subscriber in subscribers:
                subscriber.begun_at = 0
                subscriber.offer(protocol.reset(reason, self.position, self.epoch))

    def _hand_out(self, offset: int, message: Msg) -> None:
        event_type = (message.headers or {}).get("ce-type", "")
        try:
            channel = CHANNEL_OF.get(event_type.partition(".")[0])
            if channel is not None:
                self._tell(self._heard(protocol.event_frame(message, channel, offset, self.epoch)))
            elif event_type in CHANGES:
                self._change(parse_change(message, event_type), message, offset)
        except (KeyError, ValueError, TypeError) as error:
            _LOG.error("live.malformed", subject=message.subject, offset=offset, error=repr(error))
        self.position = offset

    def _heard(self, frame: Frame) -> Frame:
        """Take over what an event changes in who may see what."""
        if frame.task_id is not None and frame.projects is not None:
            self._presence.moved(frame.workspace_id, frame.task_id, frame.projects[0] if frame.projects else "")
        if frame.project is None or not frame.projects:
            return frame
        gone = frame.event == "project.deleted"
        now = replace(frame.project, members=frozenset()) if gone else frame.project
        before = self._projects.hear(frame.workspace_id, frame.projects[0], now)
        self._presence.review(frame.workspace_id)
        return frame if gone or frame.event == "project.created" else replace(frame, before=before or frame.before)

    def _tell(self, frame: Frame) -> None:
        self.recent.add(frame)
        if frame.user_id is None:
            subscribers = self._by_workspace.get(frame.workspace_id, ())
        else:
            subscribers = self._by_user.get(frame.user_id, ())
        told = 0
        for subscriber in subscribers:
            if frame.offset > subscriber.begun_at and (text := self.told(subscriber, frame)) is not None:
                subscriber.offer(text)
                told += 1
        if told:
            LIVE_EVENTS.labels(frame.channel.value).inc(told)

    def _change(self, change: Change, message: Msg, offset: int) -> None:
        for subscriber in self._by_user.get(change.user_id, ()):
            if subscriber.channel is not Channel.TASKS:
                continue
            before = subscriber.workspaces.get(change.workspace_id)
            if not subscriber.change(change):
                self._tell_access(subscriber, change.workspace_id, before, offset)
            elif not change.joined:
                _discard(self._by_workspace, change.workspace_id, subscriber)
            elif self._projects.knows(change.workspace_id):
                self._join(subscriber, change, message)
            else:
                joining = asyncio.create_task(self._join_when_known(subscriber, change, message))
                self._joining.add(joining)
                joining.add_done_callback(self._joining.discard)
        self._presence.review(change.workspace_id)

    def _tell_access(self, subscriber: Subscriber, workspace_id: str, before: Membership | None, offset: int) -> None:
        """Tell a subscriber whose user has another role in a workspace which projects that shows or hides."""
        now = subscriber.workspaces.get(workspace_id)
        if before is None or now is None or before.sees_all == now.sees_all:
            return
        subscriber.preload(
            [
                protocol.access(workspace_id, offset, self.epoch, visible=now.sees_all, project_id=project_id)
                for project_id, project in self._projects.private_of(workspace_id).items()
                if not project.open_to(subscriber.user_id)
            ]
        )

    async def _join_when_known(self, subscriber: Subscriber, change: Change, message: Msg) -> None:
        """Let a subscriber hear of a workspace of which nobody has listened so far."""
        while not self._projects.knows(change.workspace_id):
            try:
                await self._projects.learn([change.workspace_id])
            except RotaError as error:
                _LOG.warning("live.projects_unknown", error=str(error))
                await asyncio.sleep(RETRY_S)
        joined = subscriber.workspaces.get(change.workspace_id)
        if subscriber in self._by_user.get(subscriber.user_id, ()) and joined is not None:
            self._join(subscriber, change, message)

    def _join(self, subscriber: Subscriber, change: Change, message: Msg) -> None:
        if subscriber not in self._by_workspace[change.workspace_id]:
            self._by_workspace[change.workspace_id].add(subscriber)
            self._catch_up(subscriber, change, message)

    def _catch_up(self, subscriber: Subscriber, change: Change, message: Msg) -> None:
        # Services publish side by side: what happened in the workspace after the user joined may have come before
        # the news of it.
        joined_at = datetime.fromisoformat((message.headers or {})["ce-time"]) - CLOCK_SKEW
        for frame in self.recent.after(subscriber.begun_at):
            if frame.workspace_id == change.workspace_id and frame.time >= joined_at:
                text = self.told(subscriber, frame)
                if text is not None:
                    subscriber.offer(text)


def _discard(index: defaultdict[str, set[Subscriber]], key: str, subscriber: Subscriber) -> None:
    subscribers = index.get(key)
    if subscribers is not None:
        subscribers.discard(subscriber)
        if not subscribers:
            del index[key]
