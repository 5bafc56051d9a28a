from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Command = Callable[..., Awaitable[tuple[int, str, str]]]
    Start = Callable[..., Awaitable[Any]]


async def test_a_taken_port_is_refused_in_one_sentence(command: Command, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, errors = await command("up", ROTA_HTTP_PORT=str(port))
    assert code == 1
    assert errors == f"rota: Port {port} on 127.0.0.1 is taken; stop what uses it or set ROTA_HTTP_PORT.\n"
    assert not (folder / "postgres").exists()


async def test_a_taken_port_is_refused_in_the_background_too(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, output, errors = await command("up", "--detach", ROTA_HTTP_PORT=str(taken.getsockname()[1]))
    assert (code, output) == (1, "")
    assert errors.startswith("rota: Port ")
    assert errors.endswith("is taken; stop what uses it or set ROTA_HTTP_PORT.\n")


async def test_a_folder_that_cannot_be_written_is_refused_in_one_sentence(command: Command, folder: Path) -> None:
    occupied = folder / "file"
    occupied.touch()
    code, _, errors = await command("up", ROTA_DATA_DIR=str(occupied))
    assert code == 1
    assert errors.startswith(f"rota: The data folder {occupied} cannot be written (")
    assert errors.count("\n") == 1


async def test_a_bad_port_is_refused_in_one_sentence(command: Command) -> None:
    code, _, errors = await command("up", ROTA_HTTP_PORT="high")
    assert (code, errors) == (1, "rota: ROTA_HTTP_PORT must be a number from 1 to 65535, not 'high'.\n")


async def test_a_folder_that_is_in_use_is_refused_in_one_sentence(command: Command, start: Start, folder: Path) -> None:
    rota = await start()
    await rota.ready()
    code, _, errors = await command("up")
    expected = f"rota: Rota already runs in {folder} (process {rota.process.pid}); `rota down` stops it.\n"
    assert (code, errors) == (1, expected)


async def test_a_lock_left_by_a_dead_process_does_not_matter(command: Command, folder: Path) -> None:
    (folder / "rota.lock").write_text("1\n", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        _, _, errors = await command("up", ROTA_HTTP_PORT=str(taken.getsockname()[1]))
    assert "already runs" not in errors


async def test_status_names_every_process_and_the_memory_of_all(command: Command, start: Start) -> None:
    rota = await start()
    await rota.ready()
    code, output, _ = await command("status")
    assert code == 0
    names = [line.split()[:2] for line in output.splitlines()[1:5]]
    assert names == [["rota", "running"], ["redis", "running"], ["tasks", "running"], ["gateway", "running"]]
    assert "memory of everything" in output
    assert f"ready after           {rota.state['ready_after_s']} s" in output


async def test_nothing_runs_in_a_new_folder(command: Command) -> None:
    code, _, errors = await command("status")
    assert code == 3
    assert errors.startswith("rota: Rota is not running in ")
    assert await command("down") == (0, "Rota is not running.\n", "")


async def test_down_stops_what_runs_and_waits(command: Command, start: Start) -> None:
    rota = await start()
    await rota.ready()
    assert await command("down") == (0, "Rota has stopped.\n", "")
    assert (await rota.end())[0] == 0


async def test_logs_are_shown_short_for_one_service_or_for_all(command: Command, start: Start) -> None:
    rota = await start()
    await rota.ready()
    await rota.end(signal.SIGTERM)
    _, one, _ = await command("logs", "tasks")
    assert one.splitlines() == [
        "03:04:05 tasks         warning service.warned",
        "03:04:05 tasks         info    service.chatted",
    ]
    _, everything, _ = await command("logs")
    assert len(everything.splitlines()) == 4
    code, _, errors = await command("logs", "nothing")
    assert code == 1
    assert errors.startswith("rota: There is no log of 'nothing'; there are: gateway, migrate, tasks")


async def test_migrations_by_hand_need_a_server(command: Command) -> None:
    code, _, errors = await command("migrate")
    assert code == 1
    assert errors.startswith("rota: Set ROTA_POSTGRES_URL")


async def test_a_rebuild_needs_a_server(command: Command, folder: Path) -> None:
    code, _, errors = await command("rebuild", "tasks")
    assert (code, errors) == (3, f"rota: Rota is not running in {folder}; start it with `rota up`.\n")


async def test_a_wrong_option_is_refused(command: Command) -> None:
    code, _, errors = await command("up", "--sideways")
    assert code == 2
    assert "No such option" in errors


async def test_version_is_printed(command: Command) -> None:
    assert (await command("version"))[1].startswith("rota 0")
