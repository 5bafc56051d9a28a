"""Sends what is queued, in the background.

The queue is authoritative. Any number of senders, in any number of processes, take turns on it: a claim gives a
delivery to one of them for the time of a lease, which it renews while it works, and has a fence, so that one that slept
over its lease cannot write.
What can go wrong:

- The process dies while it sends: the lease ends and another sender takes the delivery over.
- It dies between the mail server's acceptance and `sent`: the mail is sent again, with the same Message-ID. SMTP has
  no transaction that would span both (RFC 5321, section 4.5.4.1; RFC 1047 describes the same race between servers), so
  that at least once is the best there is. Nothing happens in between but one UPDATE, and a sender that is told to stop
  finishes what it has begun.
- The mail server is down: nothing counts as tried, and the sender asks again with growing delays, at most a minute.
- The user's address is unknown here and auth is down: as above.

Leases compare the clocks of machines: a clock that is seconds off costs, at worst, a mail that is sent twice.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client import Counter
from rota_chassis.errors import NotFound, RotaError, Unavailable
from rota_chassis.logs import logger

from rota_notifications.email import domain, store
from rota_notifications.email.domain import LEASE
from rota_notifications.email.rendering import render, render_letter
from rota_notifications.email.smtp import Deferred, Refused, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from email.headerregistry import Address
    from email.message import EmailMessage
    from uuid import UUID

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database

    from rota_notifications.email.domain import Delivery, Jitter, Outcome
    from rota_notifications.email.smtp import Mailer
    from rota_notifications.invitations.letters import Letter, Letters
    from rota_notifications.people.directory import Directory
    from rota_notifications.people.domain import Person

# Longest sleep: what another process queued and did not live to send is found at the latest then.
POLL = timedelta(seconds=5)
IDLE_S = 2.0
RETRY = timedelta(seconds=1)
DRAIN_S = 5.0
# For one mail, whatever each single reply may take.
SEND_TIMEOUT_S = 60.0
_LONGEST_OUTAGE_DELAY_S = 60.0

EMAILS = Counter("rota_emails", "Tries to send a mail, by what became of it.", ["state"])
_LOG = logger(__name__)


def full_jitter(most: float) -> float:
    """A number between 0 and `most`."""
    return random.uniform(0, most)  # noqa: S311 (spreads load, guards nothing)


class Sender:
    """Takes what is due and sends it, several at once.

    Args:
        database: Where the queue is.
        directory: Finds addresses.
        letters: Writes to who is invited.
        mailer: Hands mails to the mail server.
        clock: The time.
        mail_from: Sender of every mail.
        at_once: At most this many mails at a time.
        jitter: Spreads retries.
        renew_every_s: How often the leases of mails under way are renewed, in seconds.
    """

    def __init__(
        self,
        database: Database,
        directory: Directory,
        letters: Letters,
        mailer: Mailer,
        clock: Clock,
        *,
        mail_from: Address,
        at_once: int = 4,
        jitter: Jitter = full_jitter,
        renew_every_s: float = LEASE.total_seconds() / 3,
    ) -> None:
        self._database = database
        self._directory = directory
        self._letters = letters
        self._mailer = mailer
        self._clock = clock
        self._mail_from = mail_from
        self._at_once = at_once
        self._jitter = jitter
        self._renew_every_s = renew_every_s
        self._woken = asyncio.Event()
        self._outages = 0
        self._not_before: datetime | None = None

    def wake(self) -> None:
        """Look at the queue now; called after something may have been queued."""
        self._woken.set()

    async def run(self) -> None:
        """Send until cancelled; then end what has begun, for at most `DRAIN_S` seconds."""
        try:
            while True:
                self._woken.clear()
                await self._sleep(await self._tick_to_the_end())
        finally:
            await self._mailer.close()

    async def tick(self) -> datetime:
        """Send one batch of what is due; returns when to tick next.

        Raises:
            Unavailable: the database does not answer; leases see to what was claimed.
        """
        now = self._clock.now()
        if self._not_before is not None and now < self._not_before:
            return self._not_before
        claimed = await store.claim(self._database, limit=self._at_once, now=now)
        if claimed:
            self._not_before = await self._send_all(claimed)
            if self._not_before is not None:
                return self._not_before
            if len(claimed) == self._at_once:
                return now
        due = await store.next_due(self._database)
        return min(due, now + POLL) if due is not None else now + POLL

    async def _send_all(self, claimed: Sequence[Delivery]) -> datetime | None:
        """Send these; returns when to try again if nothing could be tried, since a server is down."""
        delay_s = self._jitter(min(2.0**self._outages, _LONGEST_OUTAGE_DELAY_S))
        try:
            people = await self._directory.find({each.user_id for each in claimed if each.user_id is not None})
        except RotaError as error:
            for delivery in claimed:
                await self._postpone(delivery, error, delay_s)
            tried = False
        else:
            async with self._kept(claimed):
                tried = any(await asyncio.gather(*(self._send(delivery, people, delay_s) for delivery in claimed)))
        self._outages = 0 if tried else self._outages + 1
        return None if tried else self._clock.now() + timedelta(seconds=delay_s)

    @asynccontextmanager
    async def _kept(self, claimed: Sequence[Delivery]) -> AsyncIterator[None]:
        """Renew the leases within the block."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._renew_every_s)
                try:
                    await store.renew(self._database, claimed, now=self._clock.now())
                except Unavailable as error:
                    _LOG.warning("email.not_renewed", error=repr(error.__cause__ or error))

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _send(self, delivery: Delivery, people: Mapping[UUID, Person], delay_s: float) -> bool:
        """Try one mail and write what became of it; returns whether it could be tried."""
        try:
            recipient, message = await self._written(delivery, people)
            await self._hand_in(message, recipient)
        except Unreachable as error:
            await self._postpone(delivery, error, delay_s)
            return False
        except Refused as error:
            outcome = domain.refused(delivery, str(error))
        except Exception as error:  # noqa: BLE001 (whatever is wrong with one mail, the others go on)
            reason = str(error) if isinstance(error, Deferred) else repr(error)
            outcome = domain.deferred(delivery, reason, now=self._clock.now(), jitter=self._jitter)
        else:
            outcome = domain.accepted(delivery, now=self._clock.now())
        await self._settle(delivery, outcome)
        return True

    async def _written(self, delivery: Delivery, people: Mapping[UUID, Person]) -> tuple[str, EmailMessage]:
        """To whom the mail goes, and the mail."""
        if delivery.hidden:
            raise Refused("the user may not see the project any more")
        try:
            if delivery.invitation_id is not None:
                letter = await self._letter(delivery.workspace_id, delivery.invitation_id)
                return letter.email, render_letter(delivery, letter, mail_from=self._mail_from)
            person = people.get(delivery.user_id) if delivery.user_id is not None else None
            if person is None:
                raise Refused("the user does not exist")
            return person.email, render(delivery, person, mail_from=self._mail_from)
        except ValueError as error:
            raise Refused(str(error)) from error

    async def _letter(self, workspace_id: UUID, invitation_id: UUID) -> Letter:
        try:
            return await self._letters.write(workspace_id=workspace_id, invitation_id=invitation_id)
        except NotFound as error:
            raise Refused("the invitation is over") from error
        except Unavailable as error:
            raise Unreachable(str(error)) from error

    async def _hand_in(self, message: EmailMessage, recipient: str) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._mailer.send(message, sender=self._mail_from.addr_spec, recipient=recipient)
        except TimeoutError as error:
            raise Deferred("the mail server took too long") from error

    async def _postpone(self, delivery: Delivery, error: Exception, delay_s: float) -> None:
        await self._settle(delivery, domain.postponed(delivery, str(error), now=self._clock.now(), delay_s=delay_s))

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        EMAILS.labels(outcome.state.value).inc()
        written = await store.settle(self._database, delivery, outcome)
        if outcome.last_error is not None or not written:
            _LOG.warning(
                "email.not_sent" if written else "email.claim_lost",
                delivery_id=delivery.id,
                state=outcome.state.value,
                attempts=outcome.attempts,
                next_attempt_at=outcome.next_attempt_at,
                error=outcome.last_error,
            )

    async def _tick_to_the_end(self) -> datetime:
        """A tick that is not torn by being cancelled: mails under way are ended and marked first."""
        ticking = asyncio.create_task(self.tick())
        try:
            return await asyncio.shield(ticking)
        except Unavailable as error:
            _LOG.warning("email.interrupted", error=repr(error.__cause__ or error))
            return self._clock.now() + RETRY
        except asyncio.CancelledError:
            await asyncio.wait([ticking], timeout=DRAIN_S)
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            raise

    async def _sleep(self, until: datetime) -> None:
        delay_s = (until - self._clock.now()).total_seconds()
        if self._mailer.is_connected and delay_s > IDLE_S:
            if await self._woken_within(IDLE_S):
                return
            await self._mailer.close()
            delay_s -= IDLE_S
        await self._woken_within(delay_s)

    async def _woken_within(self, delay_s: float) -> bool:
        try:
            async with asyncio.timeout(max(delay_s, 0)):
                await self._woken.wait()
        except TimeoutError:
            return False
        return True
