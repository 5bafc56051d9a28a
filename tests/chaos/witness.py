"""Who is called from outside: an HTTP endpoint, and workers that claim jobs. Both remember each delivery."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import TYPE_CHECKING, Any

from rota.scheduler.v1 import workers_pb2, workers_pb2_grpc
from rota_chassis.errors import Conflict, RotaError
from rota_chassis.rpc.channel import open_channel
from rota_chassis.settings import DEVELOPMENT_SECRET
from rota_chassis.tokens import ServiceTokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rota_chassis.testing.services import User

QUEUE = "chaos"
LEASE_S = 10
SLOW = "/slow"
SLOW_S = 4  # longer than from one renewal of leases to the next
_CALL_S = 4
_AWAY_S = 0.2


@dataclass(frozen=True, slots=True)
class Delivery:
    """One call, or one job that was claimed.

    Attributes:
        key: Its idempotency key, which is the id of the run.
        at: When it came, by the one clock that never steps.
    """

    key: str
    at: datetime


class Witness:
    """What was delivered, in order."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.port = 0

    def note(self, key: str) -> None:
        """Remember a delivery that comes now."""
        self.deliveries.append(Delivery(key, datetime.now(UTC)))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Witness]:
        """Answer calls within the block; each is remembered before it is answered."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            self.note(fields["idempotency-key"])
            if head.startswith(f"post {SLOW}"):
                await asyncio.sleep(SLOW_S)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller was killed
        finally:
            writer.close()

    async def work(self, user: User, addresses: Sequence[str]) -> None:
        """Claim jobs and complete them until cancelled; when a replica does not answer, ask the next."""
        channels = [open_channel(address, ServiceTokens("test", DEVELOPMENT_SECRET)) for address in addresses]
        stubs = cycle([workers_pb2_grpc.WorkerServiceStub(channel) for channel in channels])
        stub = next(stubs)
        claim = workers_pb2.ClaimRunsRequest(name=QUEUE, limit=20, wait_s=2, lease_s=LEASE_S)
        try:
            while True:
                try:
                    claimed = await stub.ClaimRuns(claim, metadata=user.metadata, timeout=_CALL_S)
                except RotaError:
                    stub = next(stubs)
                    await asyncio.sleep(_AWAY_S)
                    continue
                for job in claimed.runs:
                    self.note(job.id)
                await asyncio.gather(*(_complete(job, stub, next(stubs), user=user) for job in claimed.runs))
        finally:
            for channel in channels:
                await channel.close()


async def _complete(job: workers_pb2.ClaimedRun, *asked: Any, user: User) -> None:
    """Say that a job is done; what none of those that are asked hears of is delivered again after its lease."""
    done = workers_pb2.CompleteRunRequest(id=job.id, fence=job.fence)
    for stub in asked:
        try:
            await stub.CompleteRun(done, metadata=user.metadata, timeout=_CALL_S)
        except Conflict:
            return
        except RotaError:
            continue
        else:
            return
