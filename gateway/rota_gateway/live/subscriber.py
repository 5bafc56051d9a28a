"""One socket as the hub sees it: what it may be told, and a bounded queue of what it has not been told yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from rota_gateway.live.memberships import Membership
from rota_gateway.live.protocol import Channel, Close, Ended

if TYPE_CHECKING:
    from rota_gateway.live.memberships import Change
    from rota_gateway.live.protocol import Frame


class Subscriber:
    """What one socket waits for.

    Args:
        channel: what it is told of.
        user_id: who listens.
        limit: frames that may wait; one more, and the conversation ends: its client comes back and resumes.
    """

    def __init__(self, channel: Channel, user_id: str, limit: int) -> None:
        self.channel = channel
        self.user_id = user_id
        self.workspaces: dict[str, Membership] = {}
        self.begun_at = 0
        self._limit = limit
        self._waiting: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._early: list[Change] | None = []
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

    def may_see(self, frame: Frame) -> bool:
        """Whether an event is this socket's business, unless it is of a project that is hidden from its user."""
        if frame.channel is not self.channel:
            return False
        if frame.user_id is not None:
            return frame.user_id == self.user_id
        return frame.workspace_id in self.workspaces

    def know(self, workspaces: dict[str, Membership]) -> None:
        """Take over the user's workspaces as auth gave them, and what has changed since they were asked for."""
        self.workspaces = workspaces
        early, self._early = self._early or [], None
        for change in early:
            self.change(change)

    def change(self, change: Change) -> bool:
        """Join or leave a workspace; whether that is news."""
        if self._early is not None:
            self._early.append(change)
            return False
        known = self.workspaces.get(change.workspace_id)
        if known is not None and known.version >= change.version:
            return False
        if change.joined:
            self.workspaces[change.workspace_id] = Membership(change.version, change.sees_all)
            return known is None
        return self.workspaces.pop(change.workspace_id, None) is not None

    def offer(self, text: str) -> None:
        """Queue a frame; never waits."""
        if len(self._waiting) >= self._limit:
            self.end(Ended(Close.TOO_SLOW, "TOO_SLOW", "Events wait for too long; come back with `since`."))
            return
        self._waiting.append(text)
        self._arrived.set()

    def preload(self, texts: list[str]) -> None:
        """Queue what was missed before, however much it is: it does not grow."""
        self._waiting.extend(texts)
        self._limit += len(texts)
        self._arrived.set()

    async def take(self) -> str:
        """The next frame, once there is one."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def end(self, ended: Ended) -> None:
        """End the conversation, unless it has ended already."""
        if not self.ended.done():
            self.ended.set_result(ended)
