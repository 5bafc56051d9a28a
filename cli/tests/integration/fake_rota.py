"""A Rota of a real Redis and two little programs: `python fake_rota.py FOLDER [FAULT]`, FAULT one of the below."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

import click
from rota_chassis.embedded.process import Program
from rota_chassis.testing import servers
from rota_cli.errors import CommandError
from rota_cli.folder import DataFolder
from rota_cli.stack import Stack
from rota_cli.supervisor import Backoff, Service
from rota_cli.up import Running

SERVICE = """
import asyncio, pathlib, signal, sys
name, folder, fault = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
if fault == name + "-fails":
    sys.exit("no luck today")
async def main():
    stop = asyncio.Event()
    if fault != name + "-never-drains":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    async with await asyncio.start_unix_server(lambda r, w: w.close(), folder / "run" / f"{name}.sock"):
        print('{"time":"2026-01-02T03:04:05Z","level":"warning","event":"service.warned"}', flush=True)
        print('{"time":"2026-01-02T03:04:05Z","level":"info","event":"service.chatted"}', flush=True)
        await stop.wait()
    with (folder / "drained").open("a") as file:
        file.write(name + " ")
asyncio.run(main())
"""


async def _listens(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


def main(path: Path, fault: str) -> None:
    folder = DataFolder(path)
    folder.prepare()

    def program(name: str, *arguments: str) -> Program:
        return Program(
            name=name,
            argv=[sys.executable, "-c", *arguments],
            log=folder.logs / f"{name}.log",
            pid_file=folder.run / f"{name}.pid",
            environment={},
        )

    def service(name: str) -> Service:
        return Service(
            program=program(name, SERVICE, name, str(path), fault),
            serves=partial(_listens, folder.run / f"{name}.sock"),
            is_front=name == "gateway",
        )

    stack = Stack(
        servers=[servers.redis(folder.run)],
        migration=lambda: program("migrate", "raise SystemExit('no such table')" if fault == "migrate-fails" else ""),
        services=lambda: [service("tasks"), service("gateway")],
        is_ready=partial(_listens, folder.run / "gateway.sock"),
        urls=lambda: {"API": "http://127.0.0.1:1/api/v1"},
    )
    running = Running(
        stack,
        folder,
        say=click.echo,
        show=lambda log, line: click.echo(f"{log.name} {line.decode()}"),
        on_ready=lambda state: click.echo(f"READY {state['ready_after_s']}"),
        backoff=Backoff(first_s=0.05, longest_s=0.2),
    )
    with folder.locked():
        asyncio.run(running.run())


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except CommandError as error:
        sys.exit(f"rota: {error}")
