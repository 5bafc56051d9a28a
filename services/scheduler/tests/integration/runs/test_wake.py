"""Replicas tell each other that runs have become available."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from rota_chassis.events.connection import nats_connection
from rota_chassis.testing.waiting import eventually
from rota_scheduler.runs.wake import Wake


async def test_many_runs_at_once_are_one_message_to_the_other_replicas(nats_url: str) -> None:
    told: list[int] = []
    async with AsyncExitStack() as stack:
        replicas = [Wake(await stack.enter_async_context(nats_connection(nats_url, f"wake-{n}"))) for n in range(2)]
        tasks = [asyncio.create_task(each.run(lambda n=n: told.append(n))) for n, each in enumerate(replicas)]
        # Until both listen.
        while len(set(told)) < 2:
            replicas[0].tell()
            await asyncio.sleep(0)
        before = told.count(1)
        for _ in range(1000):
            replicas[0].tell()
        await eventually(lambda: told.count(1) > before)
        # A few of those before may still be on their way.
        assert told.count(1) - before < 10
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
