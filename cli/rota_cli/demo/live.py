"""A live channel as a careful client keeps it: when it breaks, it resumes where it was."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from rota_cli.demo.people import PATIENCE_S, Person, StoryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass(frozen=True)
class Received:
    """An event, and when it came, in seconds of `time.time`."""

    frame: dict[str, Any]
    at: float

    @property
    def name(self) -> str:
        """Its type: "task.created"."""
        return str(self.frame["event"])

    @property
    def data(self) -> dict[str, Any]:
        """What happened."""
        return dict(self.frame["data"])


@dataclass
class Channel:
    """What has come through one live channel, however often it was opened.

    Attributes:
        received: Every event, in order.
        opened: How often a connection was ready.
        gaps: How often the server said that it cannot resume.
        broke: Why the last connection ended, or did not come about; empty if none did.
    """

    received: list[Received] = field(default_factory=list)
    opened: int = 0
    gaps: int = 0
    broke: str = ""
    _position: tuple[int, str] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def expect(self, what: str, wanted: Callable[[Received], bool], *, within_s: float = PATIENCE_S) -> Received:
        """The first event that is wanted, already here or to come.

        Raises:
            StoryError: it has not come in time; `what` names it.
        """
        deadline = time.monotonic() + within_s
        while True:
            for each in self.received:
                if wanted(each):
                    return each
            self._news.clear()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._news.wait()
            except TimeoutError:
                names = [each.name for each in self.received]
                raise StoryError(f"{what} has not come within {within_s:.0f} s; so far: {names}") from None

    async def until_open(self) -> None:
        """Wait until the channel has been ready once."""
        while not self.opened:
            self._news.clear()
            await self._news.wait()

    async def keep(self, url: str, person: Person) -> None:
        """Stay connected until cancelled."""
        headers = {"Authorization": f"Bearer {person.token}"}
        while True:
            at = f"{url}?since={self._position[0]}&epoch={self._position[1]}" if self._position else url
            try:
                async with connect(at, additional_headers=headers) as socket:
                    async for text in socket:
                        self._take(json.loads(text))
            except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError) as error:
                # The server restarts, in the midst of the handshake perhaps: come again.
                self.broke = repr(error)
            await asyncio.sleep(0.05)

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] in {"ready", "reset", "event"}:
            self._position = (frame["offset"], frame["epoch"])
        if frame["type"] == "event":
            self.received.append(Received(frame, time.time()))
        self.opened += frame["type"] == "ready"
        self.gaps += frame["type"] == "reset"
        self._news.set()


@asynccontextmanager
async def listening(base_url: str, person: Person, name: str) -> AsyncIterator[Channel]:
    """The channel `name` ("tasks" or "notifications") of a person, open within the block."""
    channel = Channel()
    url = f"{base_url.replace('http', 'ws', 1)}/ws/{name}"
    keeping = asyncio.create_task(channel.keep(url, person))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await channel.until_open()
        yield channel
    except TimeoutError as error:
        raise StoryError(f"{url} does not open within {PATIENCE_S:.0f} s; at last: {channel.broke}") from error
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
