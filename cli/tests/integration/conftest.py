from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil
import pytest
from rota_chassis.testing.waiting import eventually
from rota_cli.folder import read_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

FAKE_ROTA = Path(__file__).with_name("fake_rota.py")
PATIENCE_S = 30.0


class FakeRota:
    """A supervisor process with its children, watched from outside."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.process = process

    @property
    def state(self) -> dict[str, Any]:
        return read_json(self.folder / "run" / "state.json")

    def entry(self, name: str) -> dict[str, Any]:
        return next(each for each in self.state["processes"] if each["name"] == name)

    def pids(self) -> list[int]:
        return [each["pid"] for each in self.state["processes"] if each["pid"] is not None]

    async def ready(self) -> None:
        await eventually(
            lambda: self.state.get("phase") == "ready" and self.state["pid"] == self.process.pid, timeout_s=PATIENCE_S
        )

    async def end(self, number: signal.Signals | None = None) -> tuple[int, str, str]:
        """Send a signal if one is given; exit code and what was printed."""
        if number is not None:
            self.process.send_signal(number)
        output, errors = await asyncio.wait_for(self.process.communicate(), PATIENCE_S)
        assert self.process.returncode is not None
        return self.process.returncode, output.decode(), errors.decode()


class StartFakeRota(Protocol):
    async def __call__(self, fault: str = "none") -> FakeRota: ...


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="rota-cli-") as path:
        yield Path(path)


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[StartFakeRota]:
    """Start a Rota of small programs in the folder, with a fault if need be."""
    started: list[FakeRota] = []

    async def _start(fault: str = "none") -> FakeRota:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(FAKE_ROTA), str(folder), fault),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(FakeRota(folder, process))
        return started[-1]

    yield _start
    for rota in started:
        if rota.process.returncode is None:
            rota.process.send_signal(signal.SIGTERM)
            rota.process.send_signal(signal.SIGTERM)
            await rota.process.communicate()


@pytest.fixture
def command(folder: Path) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Run the `rota` command on the folder; exit code, output, errors."""

    async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rota_cli", *arguments),
            env={**os.environ, "ROTA_DATA_DIR": str(folder), **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        return process.returncode or 0, output.decode(), errors.decode()

    return run


@pytest.fixture
def all_gone() -> Callable[[list[int]], Awaitable[None]]:
    """Wait until none of the processes runs."""

    def gone(pid: int) -> bool:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        return True

    async def wait(pids: list[int]) -> None:
        assert pids
        await eventually(lambda: all(gone(pid) for pid in pids), timeout_s=PATIENCE_S)

    return wait
