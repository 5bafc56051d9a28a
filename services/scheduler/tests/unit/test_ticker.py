"""Sleeping until something is due."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from rota_chassis.clock import SystemClock
from rota_chassis.errors import Unavailable
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.waiting import eventually
from rota_scheduler.ticker import CONTENDED_S, Ticker, next_tick

NOW = ManualClock().now()


async def test_ticks_again_when_woken() -> None:
    ticks: list[datetime | None] = []

    async def tick() -> datetime | None:
        ticks.append(None)
        return NOW + timedelta(days=1)

    ticker = Ticker("test", tick, ManualClock())
    running = asyncio.create_task(ticker.run())
    await eventually(lambda: len(ticks) == 1)
    ticker.wake()
    await eventually(lambda: len(ticks) == 2, timeout_s=0.5)
    running.cancel()


async def test_ticks_at_the_time_that_the_last_tick_asked_for() -> None:
    clock = SystemClock()
    due = clock.now() + timedelta(seconds=0.2)
    ticks: list[datetime] = []

    async def tick() -> datetime | None:
        ticks.append(clock.now())
        return due if clock.now() < due else None

    running = asyncio.create_task(Ticker("test", tick, clock).run())
    await eventually(lambda: ticks[-1:] > [due])
    running.cancel()
    assert ticks[-1] - due < timedelta(seconds=0.2)


async def test_goes_on_when_the_database_is_away_for_a_while() -> None:
    outcomes = [Unavailable("away"), None]
    ticks: list[None] = []

    async def tick() -> datetime | None:
        outcome = outcomes.pop(0) if outcomes else None
        if outcome is not None:
            raise outcome
        ticks.append(None)
        return None

    running = asyncio.create_task(Ticker("test", tick, ManualClock()).run())
    await eventually(lambda: ticks)
    running.cancel()


def test_a_full_batch_is_followed_at_once_and_a_contended_one_after_a_moment() -> None:
    later = NOW + timedelta(seconds=9)
    assert next_tick(NOW, taken=10, batch=10, due=later) == NOW
    assert next_tick(NOW, taken=3, batch=10, due=later) == later
    assert next_tick(NOW, taken=0, batch=10, due=NOW) == NOW + timedelta(seconds=CONTENDED_S)
    assert next_tick(NOW, taken=0, batch=10, due=None) is None
