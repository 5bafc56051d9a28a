from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys

import httpx
from rota_chassis.testing.waiting import eventually


async def start(port: int, redis_url: str, nats_url: str) -> asyncio.subprocess.Process:
    """The gateway as a process of its own."""
    environment = {
        **os.environ,
        "ROTA_HTTP_PORT": str(port),
        "ROTA_REDIS_URL": redis_url,
        "ROTA_NATS_URL": nats_url,
        "ROTA_LOG_FORMAT": "json",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rota_gateway", env=environment, stdout=asyncio.subprocess.PIPE
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, list[dict[str, object]]]:
    """The exit code, and the lines it wrote."""
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    return process.returncode, [json.loads(line) for line in output.splitlines()]


async def test_it_drains_and_exits_with_0_when_it_is_told_to_stop(redis_url: str, nats_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    process = await start(port, redis_url, nats_url)

    async def alive() -> bool:
        try:
            async with httpx.AsyncClient() as http:
                return (await http.get(f"http://127.0.0.1:{port}/livez")).status_code == 200
        except httpx.ConnectError:
            return False

    await eventually(alive, timeout_s=20)
    process.send_signal(signal.SIGTERM)
    code, lines = await ended(process)
    assert code == 0
    assert [line["event"] for line in lines][-2:] == ["gateway.draining", "gateway.stopped"]


async def test_a_port_that_is_taken_is_one_clear_sentence(redis_url: str, nats_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, lines = await ended(await start(port, redis_url, nats_url))
    assert code == 1
    assert lines[-1]["event"] == "gateway.cannot_start"
    assert lines[-1]["error"] == f"cannot listen on 127.0.0.1 port {port}: Address already in use"
