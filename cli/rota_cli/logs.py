"""Log files: their lines, made short for people, as they are written.

A service writes to its file itself, so that a busy service costs the supervisor nothing; the file is read from here.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

_QUIET_LEVELS = (b'"level":"info"', b'"level":"debug"', b'"level": "info"', b'"level": "debug"')
_COLOURS = {"warning": "33", "error": "31", "critical": "31", "debug": "2"}
_LEADING = ("time", "level", "service", "event", "logger")
LARGEST_LOG_BYTES = 64 * 1024 * 1024
_POLL_S = 0.2


def render(line: bytes, source: str, *, colour: bool = False) -> str:
    """One line for a terminal: time, service, level, event, key=value…; text that is not JSON stays as it is."""
    fields: dict[str, Any] = {}
    with suppress(ValueError):
        fields = json.loads(line)
    if not isinstance(fields, dict) or "event" not in fields:
        return f"{'':8} {source:13} {'':7} {line.decode(errors='replace').rstrip()}"
    level = str(fields.get("level", "info"))
    moment = str(fields.get("time", ""))[11:19]
    rest = " ".join(f"{key}={_short(value)}" for key, value in fields.items() if key not in _LEADING)
    painted = f"\x1b[{_COLOURS[level]}m{level:7}\x1b[0m" if colour and level in _COLOURS else f"{level:7}"
    return f"{moment:8} {fields.get('service', source):13} {painted} {fields['event']} {rest}".rstrip()


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if "\n" in text or " " not in text else json.dumps(text, ensure_ascii=False)


class LogFile:
    """A log that grows: gives what was added since it was last asked, whole lines only.

    Args:
        path: The file, which need not be there yet.
        from_start: Whether what is in it already counts as added.
        largest_bytes: Beyond this it is rotated.
    """

    def __init__(self, path: Path, *, from_start: bool = False, largest_bytes: int = LARGEST_LOG_BYTES) -> None:
        self.path = path
        self._largest_bytes = largest_bytes
        self.name = path.stem
        self._partial = b""
        self._position = 0 if from_start else self._size()

    def new_lines(self) -> list[bytes]:
        """Lines that were added; after a rotation, those of the new file."""
        size = self._size()
        if size < self._position:
            self._position, self._partial = 0, b""
        if size == self._position:
            return []
        with self.path.open("rb") as file:
            file.seek(self._position)
            added = file.read()
            self._position = file.tell()
        *lines, self._partial = (self._partial + added).split(b"\n")
        return [line for line in lines if line.strip()]

    def rotate(self) -> None:
        """Keep one older file when it has grown large. Its writer appends, so it may be cut while it is open."""
        if self._size() > self._largest_bytes:
            shutil.copyfile(self.path, self.path.with_suffix(".log.1"))
            os.truncate(self.path, 0)

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


async def follow(logs: Sequence[LogFile], show: Callable[[LogFile, bytes], None]) -> None:
    """Hand every new line to `show`, until cancelled; what was written until then is shown, too."""
    try:
        while True:
            show_new(logs, show)
            await asyncio.sleep(_POLL_S)
    finally:
        show_new(logs, show)


def show_new(logs: Iterable[LogFile], show: Callable[[LogFile, bytes], None]) -> None:
    """Hand the lines that are new now to `show`."""
    for log in logs:
        for line in log.new_lines():
            show(log, line)
        log.rotate()


def is_quiet(line: bytes) -> bool:
    """Whether a line is of no interest unless one asks for everything."""
    return any(level in line for level in _QUIET_LEVELS)


def last_lines(paths: Iterable[Path], count: int) -> Iterator[tuple[str, bytes]]:
    """The last lines of several logs with the log's name, in the order of their times where they have one."""
    found: list[tuple[str, str, bytes]] = []
    for path in paths:
        moment = ""
        for line in LogFile(path, from_start=True).new_lines()[-count:]:
            with suppress(ValueError, KeyError, TypeError):
                moment = str(json.loads(line)["time"])
            found.append((moment, path.stem, line))
    found.sort(key=lambda entry: entry[0])
    for _, name, line in found[-count:]:
        yield name, line
