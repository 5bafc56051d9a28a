"""How the primary is asked how far its log goes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.postgres.replica import EndOfLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Primary:
    """A pool of one connection to a server that answers when it is told to."""

    def __init__(self) -> None:
        self.end = 0
        self.asked: list[asyncio.Future[int]] = []

    @asynccontextmanager
    async def acquire(self, **_options: Any) -> AsyncIterator[Primary]:
        yield self

    async def fetchval(self, _sql: str, **_options: Any) -> int:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]

    async def answer(self) -> None:
        """Answer the last question, once it has come."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.asked[-1].set_result(self.end)


async def test_all_who_ask_before_the_question_is_sent_share_it() -> None:
    primary = Primary()
    end = EndOfLog(primary)  # type: ignore[arg-type]
    asking = [asyncio.create_task(end.now()) for _ in range(100)]
    primary.end = 7
    await primary.answer()
    assert await asyncio.gather(*asking) == [7] * 100
    assert len(primary.asked) == 1


async def test_who_comes_while_a_question_is_under_way_does_not_take_its_answer() -> None:
    primary = Primary()
    end = EndOfLog(primary)  # type: ignore[arg-type]
    first = asyncio.create_task(end.now())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = [asyncio.create_task(end.now()) for _ in range(3)]
    await asyncio.sleep(0)
    await primary.answer()
    assert await first == 0
    assert not any(each.done() for each in late)
    primary.end = 9
    await asyncio.sleep(0)
    await primary.answer()
    assert await asyncio.gather(*late) == [9] * 3
    assert len(primary.asked) == 2


async def test_one_who_gives_up_takes_the_answer_from_nobody() -> None:
    primary = Primary()
    end = EndOfLog(primary)  # type: ignore[arg-type]
    first, second = asyncio.create_task(end.now()), asyncio.create_task(end.now())
    await asyncio.sleep(0)
    first.cancel()
    await primary.answer()
    assert await second == 0


async def test_a_failure_is_told_to_all_who_asked_and_the_next_ask_anew() -> None:
    primary = Primary()
    end = EndOfLog(primary)  # type: ignore[arg-type]
    asking = [asyncio.create_task(end.now()) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    primary.asked[-1].set_exception(ConnectionResetError())
    for each in asking:
        with pytest.raises(ConnectionResetError):
            await each
    again = asyncio.create_task(end.now())
    await asyncio.sleep(0)
    await primary.answer()
    assert await again == 0
