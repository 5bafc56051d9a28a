from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from rota_scheduler.runs.deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def looking() -> AsyncIterator[Deadlines]:
    deadlines = Deadlines(every_s=0.001)
    task = asyncio.create_task(deadlines.run())
    yield deadlines
    task.cancel()
    await asyncio.wait([task])


async def too_long(deadlines: Deadlines) -> str:
    try:
        with deadlines.within(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        # The task itself goes on as if nothing had been.
        await asyncio.sleep(0)
        return "overdue"
    return "in time"


async def test_a_block_that_takes_too_long_is_broken_off_and_its_task_goes_on() -> None:
    async with looking() as deadlines:
        task = asyncio.create_task(too_long(deadlines))
        assert await asyncio.wait_for(task, 5) == "overdue"
        assert task.cancelling() == 0


async def test_one_block_being_overdue_leaves_the_others_alone() -> None:
    async with looking() as deadlines:
        over = asyncio.Event()

        async def patient() -> str:
            with deadlines.within(60):
                await over.wait()
            return "in time"

        waiting = asyncio.create_task(patient())
        assert await asyncio.wait_for(too_long(deadlines), 5) == "overdue"
        over.set()
        assert await asyncio.wait_for(waiting, 5) == "in time"


async def test_a_block_that_ends_in_time_leaves_nothing_that_could_break_off_what_follows() -> None:
    async with looking() as deadlines:
        with deadlines.within(0):
            pass
        assert await asyncio.wait_for(too_long(deadlines), 5) == "overdue"
        with deadlines.within(60):
            await asyncio.sleep(0)


async def test_a_task_that_others_cancel_is_cancelled_and_not_overdue() -> None:
    async with looking() as deadlines:
        task = asyncio.create_task(too_long(deadlines))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_task_that_is_overdue_and_cancelled_by_others_ends_cancelled() -> None:
    begun, deadlines = asyncio.Event(), Deadlines(every_s=0)

    async def stubborn() -> None:
        with deadlines.within(0):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await begun.wait()
    looking = asyncio.create_task(deadlines.run())
    while task.cancelling() == 0:
        await asyncio.sleep(0)
        if task.cancelling():
            task.cancel()
    await asyncio.wait([task])
    looking.cancel()
    assert task.cancelled()


def test_only_what_runs_in_a_task_has_a_deadline() -> None:
    with pytest.raises(RuntimeError), Deadlines().within(1):
        pass
