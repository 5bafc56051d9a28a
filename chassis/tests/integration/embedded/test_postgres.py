from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psutil
import pytest
from rota_chassis.embedded.postgres import Postgres
from rota_chassis.embedded.process import ChildProcess, Program
from rota_chassis.embedded.sockets import remove_socket_folder
from rota_chassis.testing import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path."""
    with servers.server_folder() as made:
        yield made


async def _answers(server: Postgres) -> bool:
    connection = await asyncpg.connect(server.url)
    try:
        return bool(await connection.fetchval("select 1") == 1)
    finally:
        await connection.close()


async def test_what_was_committed_is_there_after_a_restart(folder: Path) -> None:
    server = Postgres(folder / "postgres", folder, folder / "log")
    async with servers.running(server):
        connection = await asyncpg.connect(server.url)
        await connection.execute("create table kept as select 7 as value")
        await connection.close()
    async with servers.running(server):
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("select value from kept") == 7
        await connection.close()


async def test_a_folder_with_a_long_path_gets_short_sockets(folder: Path) -> None:
    long = folder / ("long" * 30)
    long.mkdir()
    async with servers.running(servers.postgres(long)) as server:
        assert await _answers(server)
        short = Path(server.url.partition("host=")[2]).parent
    async with servers.running(servers.postgres(long)) as server:
        assert await _answers(server)
        assert Path(server.url.partition("host=")[2]).parent == short
    remove_socket_folder(long)
    assert not short.exists()


async def test_an_interrupted_initialisation_is_begun_anew(folder: Path) -> None:
    unfinished = folder / "postgres.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18", encoding="utf-8")
    async with servers.running(servers.postgres(folder)) as server:
        assert await _answers(server)


async def test_a_lock_file_of_a_dead_postmaster_does_not_matter(folder: Path) -> None:
    async with servers.running(servers.postgres(folder)):
        lock = (folder / "postgres" / "postmaster.pid").read_text(encoding="utf-8")
    own = f"{os.getpid()}\n" + lock.partition("\n")[2]
    (folder / "postgres" / "postmaster.pid").write_text(own, encoding="utf-8")
    async with servers.running(servers.postgres(folder)) as server:
        assert await _answers(server)


async def test_a_postmaster_that_was_left_behind_is_ended_before_the_next_starts(folder: Path) -> None:
    async with servers.running(servers.postgres(folder)) as left_behind:
        assert left_behind.pid is not None
        process = psutil.Process(left_behind.pid)
        (folder / "postgres.pid").unlink()
        async with servers.running(servers.postgres(folder)) as server:
            assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
            assert await _answers(server)


async def test_a_killed_postmaster_is_reported_in_a_sentence_and_can_start_again(folder: Path) -> None:
    async with servers.running(servers.postgres(folder)) as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert (await server.died()).startswith("postgres stopped (SIGKILL)")
    async with servers.running(servers.postgres(folder)) as server:
        assert await _answers(server)


if os.geteuid() == 0:

    async def test_root_runs_it_below_a_folder_that_only_root_can_enter() -> None:
        hidden = Path(tempfile.mkdtemp(prefix="rota-root-"))
        try:
            data = hidden / "data"
            data.mkdir()
            async with servers.running(servers.postgres(data)) as server:
                assert server.pid is not None
                assert psutil.Process(server.pid).uids().effective != 0
                assert (data / "postgres").stat().st_uid != 0
                assert await _answers(server)
        finally:
            shutil.rmtree(hidden)

    async def test_a_program_that_root_starts_as_another_user_reaches_what_only_root_can_enter(folder: Path) -> None:
        with servers.server_folder() as hidden:
            (hidden / "program").touch(mode=0o700)
            code = "import os, sys; print(os.geteuid(), os.access(sys.argv[1], os.R_OK | os.X_OK))"
            program = ChildProcess(
                Program(
                    name="program",
                    argv=[sys.executable, "-I", "-S", "-c", code, str(hidden / "program")],
                    log=folder / "log",
                    pid_file=folder / "pid",
                    environment={},
                    user=(65534, 65534),
                )
            )
            await program.start()
            assert await program.died() == "program stopped (exit code 0): 65534 True"


if sys.platform == "linux":

    @pytest.mark.parametrize("server", ["postgres", "redis", "nats"])
    async def test_a_server_dies_with_the_process_that_started_it(folder: Path, server: str) -> None:
        script = (
            "import asyncio, os, pathlib, sys\n"
            "from rota_chassis.testing import servers\n"
            "async def main():\n"
            f"    server = servers.{server}(pathlib.Path(sys.argv[1]))\n"
            "    await server.start()\n"
            "    print(server.pid, flush=True)\n"
            "    os.kill(os.getpid(), 9)\n"
            "asyncio.run(main())\n"
        )
        from asyncio import create_subprocess_exec, subprocess  # noqa: PLC0415 (only where the kernel does this)

        parent = await create_subprocess_exec(sys.executable, "-c", script, str(folder), stdout=subprocess.PIPE)
        output, _ = await parent.communicate()
        child = int(output)
        try:
            psutil.Process(child).wait(timeout=10)
        except psutil.NoSuchProcess:
            return
