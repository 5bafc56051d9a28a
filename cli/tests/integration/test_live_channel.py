"""The live channel of the demo, at a server that fails it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rota_chassis.testing.waiting import eventually, in_background
from rota_cli.demo.live import Channel
from rota_cli.demo.people import Person
from websockets.asyncio.server import serve

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request


async def test_a_channel_whose_server_dies_in_the_midst_of_the_handshake_is_opened_again() -> None:
    asked = 0

    def die_at_first(connection: ServerConnection, _request: Request) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            connection.transport.close()

    async def talk(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "ready", "offset": 1, "epoch": "one"}))
        await socket.wait_closed()

    channel = Channel()
    async with serve(talk, "127.0.0.1", 0, process_request=die_at_first) as server:
        host, port = next(iter(server.sockets)).getsockname()
        keeping = channel.keep(f"ws://{host}:{port}/ws/tasks", Person("Ada", "ada@example.com", "secret"))
        async with in_background(keeping):
            await eventually(lambda: channel.opened)
    assert asked == 2
    assert "InvalidMessage" in channel.broke
