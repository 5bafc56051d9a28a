from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Start = Callable[..., Awaitable[Any]]
    AllGone = Callable[[list[int]], Awaitable[None]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_drains_the_front_first_and_leaves_nothing_running(
    start: Start, all_gone: AllGone, folder: Path, number: signal.Signals
) -> None:
    rota = await start()
    await rota.ready()
    pids = rota.pids()
    code, output, errors = await rota.end(number)
    assert (code, errors) == (0, "")
    assert (folder / "drained").read_text(encoding="utf-8").split() == ["gateway", "tasks"]
    assert "READY" in output
    assert output.endswith("Stopped.\n")
    assert len(pids) == 3
    await all_gone(pids)


async def test_what_services_log_comes_in_one_stream(start: Start) -> None:
    rota = await start()
    await rota.ready()
    _, output, _ = await rota.end(signal.SIGTERM)
    assert 'tasks {"time":"2026-01-02T03:04:05Z","level":"warning","event":"service.warned"}' in output
    assert 'gateway {"time":"2026-01-02T03:04:05Z","level":"warning","event":"service.warned"}' in output


async def test_a_service_that_is_killed_is_started_again(start: Start) -> None:
    rota = await start()
    await rota.ready()
    before = rota.entry("tasks")
    os.kill(before["pid"], signal.SIGKILL)
    await eventually(lambda: rota.entry("tasks")["pid"] not in {None, before["pid"]})
    assert rota.entry("tasks")["restarts"] == 1
    await eventually(lambda: rota.entry("tasks")["state"] == "running")
    assert (await rota.end(signal.SIGTERM))[0] == 0


async def test_a_server_that_dies_ends_everything_with_a_sentence(start: Start, all_gone: AllGone) -> None:
    rota = await start()
    await rota.ready()
    pids = rota.pids()
    os.kill(rota.entry("redis")["pid"], signal.SIGKILL)
    code, _, errors = await rota.end()
    assert code == 1
    assert errors.startswith("rota: redis stopped (SIGKILL)")
    assert errors.count("\n") == 1
    await all_gone(pids)


async def test_a_service_that_never_starts_is_refused_with_its_last_words(start: Start) -> None:
    code, _, errors = await (await start("tasks-fails")).end()
    assert code == 1
    assert errors.startswith("rota: tasks does not start: tasks stopped (exit code 1): no luck today")


async def test_a_failed_migration_is_refused_with_its_last_words(start: Start) -> None:
    code, _, errors = await (await start("migrate-fails")).end()
    assert code == 1
    assert errors.startswith("rota: The databases cannot be brought up to date: migrate stopped (exit code 1): no such")


async def test_a_second_signal_hurries_a_service_that_does_not_drain(start: Start, all_gone: AllGone) -> None:
    rota = await start("gateway-never-drains")
    await rota.ready()
    pids = rota.pids()
    begin = time.monotonic()
    rota.process.send_signal(signal.SIGINT)
    await eventually(lambda: rota.state["phase"] == "stopping")
    assert (await rota.end(signal.SIGINT))[0] == 0
    assert time.monotonic() - begin < 5
    await all_gone(pids)


async def test_a_signal_while_it_starts_stops_it(start: Start, folder: Path) -> None:
    rota = await start()
    await eventually((folder / "run" / "redis.pid").exists)
    code, output, _ = await rota.end(signal.SIGTERM)
    assert code == 0
    assert output.endswith("Stopped.\n")


async def test_it_starts_again_after_it_was_killed(start: Start, all_gone: AllGone) -> None:
    rota = await start()
    await rota.ready()
    left_behind = rota.pids()
    await rota.end(signal.SIGKILL)
    if sys.platform == "linux":
        await all_gone(left_behind)
    again = await start()
    await again.ready()
    await all_gone(left_behind)
    assert (await again.end(signal.SIGTERM))[0] == 0
