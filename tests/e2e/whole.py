"""A whole Rota, started as an operator starts it, in a data folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICES = ("gateway", "auth", "tasks", "scheduler", "notifications")


@dataclass
class System:
    """A running Rota.

    Attributes:
        folder: Its data folder.
        base_url: Where its gateway listens.
    """

    folder: Path
    base_url: str

    @property
    def state(self) -> dict[str, Any]:
        """What `rota status` reads."""
        state: dict[str, Any] = json.loads((self.folder / "run" / "state.json").read_text())
        return state

    @property
    def nats_url(self) -> str:
        """Where an outside subscriber connects, without credentials."""
        return str(self.state["urls"]["Events"])

    async def document(self, name: str) -> dict[str, Any]:
        """A document that the gateway publishes: "openapi" or "asyncapi"."""
        async with httpx.AsyncClient(base_url=self.base_url) as http:
            answer = await http.get(f"/{name}.json")
        document: dict[str, Any] = answer.raise_for_status().json()
        return document

    @property
    def mails(self) -> list[Path]:
        """Every mail that has been sent."""
        return sorted((self.folder / "mail").glob("*.eml"))

    @property
    def is_ready(self) -> bool:
        """Whether all five processes serve."""
        try:
            return httpx.get(f"{self.base_url}/readyz", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def kill(self, service: str) -> None:
        """SIGKILL the process of a service."""
        pid = int((self.folder / "run" / f"{service}.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    async def until_ready(self) -> None:
        """Wait until all five processes serve."""
        # Beside the loop: whoever is connected meanwhile must not wait for the answer.
        await eventually(lambda: asyncio.to_thread(lambda: self.is_ready), timeout_s=60)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(folder: Path, **environment: str) -> Iterator[System]:
    """`rota up` in `folder`; stopped at the end, and nothing may be left of it."""
    port = free_port()
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROTA_")},
        "ROTA_DATA_DIR": str(folder),
        "ROTA_HTTP_PORT": str(port),
        **environment,
    }
    with (folder.parent / f"{folder.name}.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "rota_cli", "up", "--verbose"], env=variables, stdout=output, stderr=output
        )
        children: list[psutil.Process] = []
        try:
            yield System(folder, f"http://127.0.0.1:{port}")
            children = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0, Path(output.name).read_text()[-5000:]
            assert [child for child in children if child.is_running()] == []
