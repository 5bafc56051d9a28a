"""The events that people are told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_notifications.notifications import commands
from rota_notifications.notifications.audience import OCCASIONS, occasions_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.clock import Clock
    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.database import UnitOfWork


def handlers(clock: Clock) -> Mapping[str, Handler]:
    """A handler for each type of event, for `Runtime.consume`."""

    async def on_event(work: UnitOfWork, event: Event) -> None:
        for occasion in occasions_of(event):
            await commands.tell(work, occasion, happened_at=event.time, now=clock.now())

    return dict.fromkeys(OCCASIONS, on_event)
