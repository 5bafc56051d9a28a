"""Claims on the queue of mails: never shared, taken over when their lease ends, and then without effect."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rota_notifications.email import domain, store
from rota_notifications.email.domain import LEASE

if TYPE_CHECKING:
    from conftest import Queue


async def test_a_lease_that_ends_is_taken_over_and_the_stale_claim_writes_no_more(queue: Queue) -> None:
    await queue.add()
    (stale,) = await store.claim(queue.database, limit=10, now=queue.clock.now())
    assert not await store.claim(queue.database, limit=10, now=queue.clock.now())
    async with queue.sink() as server:
        sender = queue.sender(server.url)
        assert await sender.tick() > queue.clock.now()
        assert await queue.states() == {"sending": 1}
        queue.clock.advance(LEASE.total_seconds())
        (fresh,) = await store.claim(queue.database, limit=10, now=queue.clock.now())
        assert (fresh.id, fresh.fence, fresh.attempts) == (stale.id, stale.fence + 1, 2)
        assert not await store.settle(queue.database, stale, domain.accepted(stale, now=queue.clock.now()))
        assert not await store.settle(queue.database, stale, domain.refused(stale, "late"))
        assert await queue.states() == {"sending": 1}
        assert await store.settle(queue.database, fresh, domain.accepted(fresh, now=queue.clock.now()))
        assert not await store.settle(queue.database, fresh, domain.refused(fresh, "again"))
    assert await queue.states() == {"sent": 1}


async def test_what_a_dead_sender_left_is_sent_under_the_same_message_id(queue: Queue) -> None:
    await queue.add()
    (abandoned,) = await store.claim(queue.database, limit=1, now=queue.clock.now())
    queue.clock.advance(LEASE.total_seconds())
    async with queue.sink() as server:
        await queue.run_dry(queue.sender(server.url))
    (mail,) = queue.mails()
    assert mail["Message-ID"] == f"<{abandoned.id}@rota>"
    assert await queue.states() == {"sent": 1}


async def test_claims_side_by_side_never_share_a_delivery(queue: Queue) -> None:
    await queue.add(40)
    claims = await asyncio.gather(*(store.claim(queue.database, limit=7, now=queue.clock.now()) for _ in range(8)))
    assert all(len(claim) <= 7 for claim in claims)
    claimed = [delivery.id for claim in claims for delivery in claim]
    assert len(claimed) == len(set(claimed))
