"""Child processes: started, watched and ended in one way, whatever they run.

A child has a session of its own, so that Ctrl-C in a terminal reaches the parent only, which then ends its children in
order. On Linux a child also dies with its parent. Elsewhere, the file with its id lets the next start end it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

_LAUNCH = Path(__file__).with_name("launch.py")
_SAME_START_S = 5.0


class ServerError(Exception):
    """A server cannot start, or died; the text is a sentence for the operator."""


class Server(Protocol):
    """An embedded server: `start()` returns when it serves, `stop()` when it is gone; both may be called twice."""

    name: str

    @property
    def url(self) -> str:
        """Where clients connect, once started."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process, or None when it runs inside this one."""
        ...

    async def start(self) -> None:
        """Serve. Raises ServerError."""
        ...

    async def stop(self) -> None:
        """End, cleanly."""
        ...

    def hurry(self) -> None:
        """Make a `stop()` that is under way end at once."""
        ...

    async def died(self) -> str:
        """Wait until it ends; why, as a sentence."""
        ...


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run.

    Attributes:
        name: For people and file names.
        argv: Absolute path of the executable, then its arguments.
        log: File its output is appended to.
        pid_file: File that holds its process id while it runs.
        environment: Its whole environment.
        user: (uid, gid) to run as, when not this process's own.
        stop_signal: Asks it to end.
        hurry_signal: Makes it end at once.
        stop_within_s: How long it may take to end before it is hurried.
        death_signal: What the kernel sends it when this process dies (Linux).
    """

    name: str
    argv: Sequence[str]
    log: Path
    pid_file: Path
    environment: Mapping[str, str]
    user: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    hurry_signal: signal.Signals = signal.SIGKILL
    stop_within_s: float = 10.0
    death_signal: signal.Signals = signal.SIGKILL


class ChildProcess:
    """One run of a program; start it from the main thread, since a child dies with the thread that made it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0
        self._hurried = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it, after ending what a killed parent may have left running."""
        program = self.program
        await end_survivor(program.pid_file, program.stop_signal)
        user = "-" if program.user is None else "{}:{}".format(*program.user)
        launch = [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), str(int(program.death_signal)), user]
        descriptor = os.open(program.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._log_start = os.fstat(descriptor).st_size
            self._process = await asyncio.create_subprocess_exec(
                *launch,
                *program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=program.environment,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        with suppress(OSError):  # only a later start after a crash would read it
            program.pid_file.write_text(f"{self._process.pid} {time.time()}\n", encoding="utf-8")

    async def wait_ready(self, probe: Callable[[], Awaitable[bool]], *, within_s: float = 30.0) -> None:
        """Wait until `probe()` is true. Raises ServerError when the process ends first or `within_s` seconds pass."""
        deadline = time.monotonic() + within_s
        while not await probe():
            if not self.running:
                raise ServerError(await self.died())
            if time.monotonic() > deadline:
                raise ServerError(f"{self.program.name} is not ready after {within_s:.0f} s{self._last_words()}")
            await asyncio.sleep(0.02)

    async def wait(self) -> int:
        """Wait until it ends; its exit code, negative for the signal that ended it.

        Raises:
            RuntimeError: it was never started.
        """
        if self._process is None:
            raise RuntimeError(f"{self.program.name} was never started")
        code = await self._process.wait()
        self.program.pid_file.unlink(missing_ok=True)
        return code

    async def died(self) -> str:
        """Wait until it ends; why, as a sentence with the last lines it logged."""
        code = await self.wait()
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        return f"{self.program.name} stopped ({how}){self._last_words()}"

    async def stop(self) -> None:
        """Ask it to end, hurry it when it takes longer than it may, kill it when that does not help."""
        if self._process is None:
            return
        for number, grace_s in (
            (self.program.stop_signal, self.program.stop_within_s),
            (self.program.hurry_signal, 5.0),
            (signal.SIGKILL, None),
        ):
            if number == self.program.stop_signal and self._hurried.is_set():
                continue
            self._send(number)
            if await self._ended(grace_s, or_hurried=number == self.program.stop_signal):
                break
        await self.wait()

    def hurry(self) -> None:
        """Make a `stop()` that is under way, or comes later, skip the asking."""
        self._hurried.set()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _ended(self, within_s: float | None, *, or_hurried: bool) -> bool:
        waits = [asyncio.ensure_future(self.wait())]
        if or_hurried:
            waits.append(asyncio.ensure_future(self._hurried.wait()))
        try:
            await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            return waits[0].done()
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _last_words(self) -> str:
        with suppress(OSError), self.program.log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - 4096))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
            if lines:
                return ": " + " | ".join(lines[-3:])
        return ""


class ChildServer:
    """A server that is one child process from its first start on, which starts with `_serve`."""

    name: str
    _child: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._child.pid if self._child else None

    async def stop(self) -> None:
        """End it, cleanly."""
        if self._child:
            await self._child.stop()

    def hurry(self) -> None:
        """Make a `stop()` that is under way end at once."""
        if self._child:
            self._child.hurry()

    async def died(self) -> str:
        """Wait until it ends; why, as a sentence. Raises RuntimeError when it was never started."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return await self._child.died()

    async def _serve(self, program: Program, is_ready: Callable[[], Awaitable[bool]]) -> None:
        self._child = ChildProcess(program)
        await self._child.start()
        await self._child.wait_ready(is_ready)


async def end_survivor(pid_file: Path, stop_signal: signal.Signals) -> None:
    """End the process that `pid_file` names when it is still the one that the file was written for."""
    noted = _read_pid_file(pid_file)
    if noted is None:
        return
    import psutil  # noqa: PLC0415 (memory: only after a crash)

    pid, started = noted
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if abs(process.create_time() - started) < _SAME_START_S:
            await end_process(process.pid, stop_signal)


def _read_pid_file(pid_file: Path) -> tuple[int, float] | None:
    try:
        pid, started = pid_file.read_text(encoding="utf-8").split()
        return int(pid), float(started)
    except (FileNotFoundError, ValueError):
        return None


async def end_process(pid: int, stop_signal: signal.Signals, *, within_s: float = 10.0) -> None:
    """End a process that is not this one's child: ask with `stop_signal`, kill it after `within_s` seconds."""
    import psutil  # noqa: PLC0415 (memory: only after a crash)

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        deadline = time.monotonic() + within_s
        process.send_signal(stop_signal)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                process.kill()
            await asyncio.sleep(0.02)
