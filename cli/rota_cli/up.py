"""The life of a running Rota: start, watch, drain.

Started: servers together, then migrations, then all services together. Drained in the opposite order, the front first,
so that what is behind it still answers the calls under way. A service that ends is started again; a server that ends
takes everything with it, since its data may need somebody to look at it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rota_chassis.embedded.process import ChildProcess, ServerError
from rota_chassis.embedded.sockets import remove_socket_folder

from rota_cli import logs
from rota_cli.errors import CommandError
from rota_cli.folder import write_json
from rota_cli.supervisor import State, Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from rota_chassis.embedded.process import Server

    from rota_cli.folder import DataFolder
    from rota_cli.stack import Stack
    from rota_cli.supervisor import Backoff

READY_WITHIN_S = 120.0
_FAILURES_AT_START = 3


class Running:
    """One run of a stack in a folder.

    Args:
        say: Prints a line of progress.
        show: Prints a log line of a service.
        on_ready: Called once, when everything serves.
    """

    def __init__(
        self,
        stack: Stack,
        folder: DataFolder,
        *,
        say: Callable[[str], None],
        show: Callable[[logs.LogFile, bytes], None],
        on_ready: Callable[[dict[str, Any]], None],
        backoff: Backoff | None = None,
    ) -> None:
        self._stack = stack
        self._folder = folder
        self._say = say
        self._show = show
        self._on_ready = on_ready
        self._backoff = backoff
        self._supervisors: list[Supervisor] = []
        self._started: list[Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._begin = time.monotonic()
        self._state: dict[str, Any] = {
            "pid": os.getpid(),
            "phase": "starting",
            "started_at": datetime.now(UTC).isoformat(),
            "ready_after_s": None,
        }

    async def run(self) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP; a second one hurries. Raises CommandError when something fails."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        failure: asyncio.Future[str] = loop.create_future()
        self._failure = failure
        stopping = asyncio.create_task(self._stop.wait())
        starting = asyncio.create_task(self._start())
        try:
            ends: list[asyncio.Future[Any]] = [failure, stopping]
            await asyncio.wait([starting, *ends], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                raise CommandError(f"{failure.result()}; see {self._folder.logs}.")
        except ServerError as error:
            raise CommandError(f"{error}; see {self._folder.logs}.") from error
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await self._drain()

    async def _start(self) -> None:
        self._write_state()
        await _all(self._start_server(server) for server in self._stack.servers)
        await self._migrate()
        await self._start_services()
        self._state |= {"phase": "ready", "ready_after_s": round(time.monotonic() - self._begin, 2)}
        self._write_state()
        self._on_ready(self._state)

    async def _start_server(self, server: Server) -> None:
        begin = time.monotonic()
        self._started.append(server)
        await server.start()
        self._tasks.append(asyncio.create_task(self._watch(server)))
        self._say(f"  {server.name:14} ready in {time.monotonic() - begin:.1f} s")
        self._write_state()

    async def _migrate(self) -> None:
        begin = time.monotonic()
        child = ChildProcess(self._stack.migration())
        try:
            await child.start()
            if await child.wait() != 0:
                raise ServerError(f"The databases cannot be brought up to date: {await child.died()}")
        finally:
            await child.stop()
        self._say(f"  {'databases':14} up to date in {time.monotonic() - begin:.1f} s")

    async def _start_services(self) -> None:
        begin = time.monotonic()
        self._supervisors = [
            Supervisor(service, on_change=self._write_state, backoff=self._backoff)
            for service in self._stack.services()
        ]
        files = [logs.LogFile(supervisor.service.program.log) for supervisor in self._supervisors]
        self._tasks.append(asyncio.create_task(logs.follow(files, self._show)))

        async def report(supervisor: Supervisor) -> None:
            await supervisor.wait_serving()
            self._say(f"  {supervisor.name:14} serves after {time.monotonic() - begin:.1f} s")

        for supervisor in self._supervisors:
            supervisor.start()
        reports = asyncio.gather(*(report(supervisor) for supervisor in self._supervisors))
        try:
            while not (reports.done() and await self._stack.is_ready()):
                self._refuse_failures()
                if time.monotonic() - begin > READY_WITHIN_S:
                    raise ServerError(f"Rota is not ready after {READY_WITHIN_S:.0f} s")
                await asyncio.sleep(0.05)
        finally:
            reports.cancel()
            await asyncio.gather(reports, return_exceptions=True)

    def _refuse_failures(self) -> None:
        for supervisor in self._supervisors:
            if supervisor.restarts >= _FAILURES_AT_START:
                raise ServerError(f"{supervisor.name} does not start: {supervisor.last_death}")

    async def _watch(self, server: Server) -> None:
        sentence = await server.died()
        if not self._failure.done():
            self._failure.set_result(sentence)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            for supervisor in self._supervisors:
                supervisor.hurry()
            for server in self._started:
                server.hurry()
        self._stop.set()

    async def _drain(self) -> None:
        self._state["phase"] = "stopping"
        self._write_state()
        if self._supervisors:
            self._say("Draining …")
        await _all(each.stop() for each in self._supervisors if each.service.is_front)
        await _all(each.stop() for each in self._supervisors if not each.service.is_front)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _all(server.stop() for server in self._started)
        remove_socket_folder(self._folder.run)
        self._state["phase"] = "stopped"
        self._write_state()
        self._say("Stopped.")

    def _write_state(self) -> None:
        servers = [
            {"name": server.name, "pid": server.pid, "state": State.RUNNING, "restarts": 0}
            for server in self._started
            if server.pid is not None
        ]
        services = [
            {"name": each.name, "pid": each.pid, "state": each.state, "restarts": each.restarts}
            for each in self._supervisors
        ]
        self._state |= {"urls": dict(self._stack.urls()), "processes": servers + services}
        with suppress(OSError):  # a full disk must not end what runs
            write_json(self._folder.state, self._state)


async def _all(steps: Iterable[Awaitable[None]]) -> None:
    """Every step to its end, also when one fails; then the first failure is raised."""
    results = await asyncio.gather(*steps, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
