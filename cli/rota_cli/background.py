"""A Rota without a terminal: started in the background, and stopped from elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rota_cli.errors import ERROR_PREFIX, CommandError
from rota_cli.folder import read_json
from rota_cli.logs import LogFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rota_cli.folder import DataFolder

STOPPED_WITHIN_S = 90.0
_POLL_S = 0.05


def start(folder: DataFolder, arguments: Sequence[str], *, say: Callable[[str], None]) -> None:
    """Start `rota <arguments>` in a session of its own, repeat what it says, and return when it is ready.

    Raises CommandError when it ends before.
    """
    log = folder.logs / "rota.log"
    output = LogFile(log)
    sentence = f"Rota did not start; see {log}."
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603 (this command itself)
            [sys.executable, "-m", "rota_cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        while True:
            code = process.poll()
            for line in output.new_lines():
                text = line.decode(errors="replace")
                if text.startswith(ERROR_PREFIX):
                    sentence = text.removeprefix(ERROR_PREFIX)
                else:
                    say(text)
            if code is not None:
                raise CommandError(sentence, exit_code=code or 1)
            state = read_json(folder.state)
            if state.get("pid") == process.pid and state.get("phase") == "ready":
                process.returncode = 0  # it is meant to outlive this process
                return
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


def stop(folder: DataFolder) -> bool:
    """Ask the Rota that runs in the folder to stop, and wait until it has; False when none runs there."""
    holder = folder.holder()
    if holder is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(holder, signal.SIGTERM)
    deadline = time.monotonic() + STOPPED_WITHIN_S
    while folder.holder() == holder:
        if time.monotonic() > deadline:
            raise CommandError(f"Rota (process {holder}) has not stopped after {STOPPED_WITHIN_S:.0f} s.")
        time.sleep(_POLL_S)
    return True
