from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from rota_chassis.embedded.process import Program
from rota_cli.supervisor import Backoff, Service, State, Supervisor

if TYPE_CHECKING:
    from pathlib import Path


async def _serves() -> bool:
    return True


def _service(folder: Path, code: str) -> Service:
    program = Program(
        name="short",
        argv=[sys.executable, "-I", "-S", "-c", code],
        log=folder / "short.log",
        pid_file=folder / "short.pid",
        environment={},
    )
    return Service(program=program, serves=_serves)


async def test_the_pause_before_a_restart_doubles_up_to_its_limit(tmp_path: Path) -> None:
    moments: list[tuple[State, float]] = []
    enough = asyncio.Event()

    def note() -> None:
        moments.append((supervisor.state, time.monotonic()))
        if supervisor.restarts == 4 and supervisor.state is State.STARTING:
            enough.set()

    backoff = Backoff(first_s=0.05, longest_s=0.2)
    supervisor = Supervisor(_service(tmp_path, "raise SystemExit('over')"), on_change=note, backoff=backoff)
    supervisor.start()
    async with asyncio.timeout(30):
        await enough.wait()
    await supervisor.stop()
    ended = [moment for state, moment in moments if state is State.BACKOFF]
    begun = [moment for state, moment in moments if state is State.STARTING][1:]
    pauses = [after - before for before, after in zip(ended, begun, strict=False)]
    assert [pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.2), strict=True)] == [True] * 4
    assert pauses[0] < pauses[2]
    assert supervisor.last_death == "short stopped (exit code 1): over"
    assert supervisor.state is State.STOPPED


async def test_the_pause_is_short_again_after_a_healthy_life(tmp_path: Path) -> None:
    enough = asyncio.Event()

    def note() -> None:
        if supervisor.restarts == 6:
            enough.set()

    backoff = Backoff(first_s=0.01, longest_s=60.0, healthy_after_s=0.0)
    supervisor = Supervisor(_service(tmp_path, ""), on_change=note, backoff=backoff)
    supervisor.start()
    async with asyncio.timeout(30):
        await enough.wait()
    await supervisor.stop()


async def test_a_program_that_is_not_there_counts_as_a_death(tmp_path: Path) -> None:
    enough = asyncio.Event()

    def note() -> None:
        if supervisor.restarts == 1:
            enough.set()

    service = _service(tmp_path, "")
    missing = Program(
        name="missing", argv=["/nowhere"], log=tmp_path / "log", pid_file=tmp_path / "pid", environment={}
    )
    supervisor = Supervisor(Service(program=missing, serves=service.serves), on_change=note)
    supervisor.start()
    async with asyncio.timeout(30):
        await enough.wait()
    await supervisor.stop()
    assert supervisor.last_death is not None
    assert "cannot run /nowhere" in supervisor.last_death
