"""A folder for unix sockets, whose paths the kernel limits to about 100 bytes (unix(7): 108, macOS: 104)."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_LONGEST_PATH = 100
_LONGEST_NAME = len("/postgres/.s.PGSQL.5432")
_RECORD = "sockets.path"


def socket_folder(run: Path) -> Path:
    """`run` itself when socket paths in it are short enough, else a private temporary folder that `run` remembers."""
    if len(os.fsencode(run)) + _LONGEST_NAME <= _LONGEST_PATH:
        return run
    record = run / _RECORD
    with suppress(OSError):
        remembered = Path(record.read_text(encoding="utf-8"))
        status = remembered.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
            return remembered
    folder = Path(tempfile.mkdtemp(prefix="rota-"))
    record.write_text(str(folder), encoding="utf-8")
    return folder


def remove_socket_folder(run: Path) -> None:
    """Remove the temporary folder that `run` remembers, if it needed one."""
    record = run / _RECORD
    with suppress(OSError):
        shutil.rmtree(record.read_text(encoding="utf-8"), ignore_errors=True)
        record.unlink()


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
