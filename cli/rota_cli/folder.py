"""The data folder: what a running Rota keeps on disk, and the lock that lets only one run there."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rota_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator


class DataFolder:
    """`ROTA_DATA_DIR`: `postgres/`, `nats/`, `mail/`, `attachments/`, `logs/`, `run/`, secrets, an admin's login."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.run = path / "run"
        self.mail = path / "mail"
        self.admin = path / "admin.json"
        self.secrets = path / "secrets.json"
        self.signing_key = path / "signing-key.pem"
        self.state = self.run / "state.json"
        self._lock = path / "rota.lock"

    def prepare(self) -> None:
        """Make what is missing. Raises CommandError when nothing can be written there."""
        try:
            for folder in (self.path, self.logs, self.run, self.mail):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
        except OSError as error:
            raise CommandError(
                f"The data folder {self.path} cannot be written ({error.strerror}); choose another with ROTA_DATA_DIR."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; the kernel lets go of it when this process dies. Raises CommandError when it is held."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
                raise CommandError(
                    f"Rota already runs in {self.path} (process {holder}); `rota down` stops it."
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> int | None:
        """The process that holds the folder, if any."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(descriptor, 32).decode(errors="replace").strip()
            return int(text) if text.isdigit() else None
        finally:
            os.close(descriptor)
        return None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty when there is none, or only half of one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file that only its owner may read, so that a reader sees the old or the new and never half of it."""
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    Path(unfinished).replace(path)
