"""The hub: follows the stream of events and hands each, encoded once, to the sockets that may see it.

One reader for all sockets. It is authoritative for `position`: everything up to there has been handed out, so that a
socket which begins at a position misses nothing. Beginning is done without waiting in between; what a client missed
before comes from `recent`, or is replayed from the stream up to the position (see `session`).

When NATS goes away, the reader goes on from its position once it is back. When the stream is another one then, or no
longer has what follows, every socket is told to reset.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

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

    from rota_gateway.live.memberships import Change
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

    def __init__(self, nats: Client) -> None:
        self._nats = nats
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
        lost = False
        while True:
            try:
                self._take_up(await stream_state(self._nats))
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

    def _take_up(self, state: StreamState) -> None:
        if not self.found.is_set():
            self._reposition(state)
            self.found.set()
        elif state.epoch != self.epoch:
            self._reset(ResetReason.STREAM_REPLACED, state)
        elif not state.first - 1 <= self.position <= state.last:
            self._reset(ResetReason.EVENTS_EXPIRED, state)

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
                self._tell(protocol.event_frame(message, channel, offset, self.epoch))
            elif event_type in CHANGES:
                self._change(parse_change(message, event_type), message)
        except (KeyError, ValueError, TypeError) as error:
            _LOG.error("live.malformed", subject=message.subject, offset=offset, error=repr(error))
        self.position = offset

    def _tell(self, frame: protocol.Frame) -> None:
        self.recent.add(frame)
        if frame.user_id is None:
            subscribers = self._by_workspace.get(frame.workspace_id, ())
        else:
            subscribers = self._by_user.get(frame.user_id, ())
        told = 0
        for subscriber in subscribers:
            if subscriber.may_see(frame) and frame.offset > subscriber.begun_at:
                subscriber.offer(frame.text)
                told += 1
        if told:
            LIVE_EVENTS.labels(frame.channel.value).inc(told)

    def _change(self, change: Change, message: Msg) -> None:
        for subscriber in self._by_user.get(change.user_id, ()):
            if subscriber.channel is not Channel.TASKS or not subscriber.change(change):
                continue
            if change.joined:
                self._by_workspace[change.workspace_id].add(subscriber)
                self._catch_up(subscriber, change, message)
            else:
                _discard(self._by_workspace, change.workspace_id, subscriber)

    def _catch_up(self, subscriber: Subscriber, change: Change, message: Msg) -> None:
        # Services publish side by side: what happened in the workspace after the user joined may have come before
        # the news of it.
        joined_at = datetime.fromisoformat((message.headers or {})["ce-time"]) - CLOCK_SKEW
        for frame in self.recent.after(subscriber.begun_at):
            if frame.workspace_id == change.workspace_id and frame.time >= joined_at and subscriber.may_see(frame):
                subscriber.offer(frame.text)


def _discard(index: defaultdict[str, set[Subscriber]], key: str, subscriber: Subscriber) -> None:
    subscribers = index.get(key)
    if subscribers is not None:
        subscribers.discard(subscriber)
        if not subscribers:
            del index[key]
