"""The events after which an invitation is mailed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from rota_notifications.email import store as deliveries
from rota_notifications.notifications.commands import MAILED_WITHIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.clock import Clock
    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork


def handlers(clock: Clock) -> Mapping[str, Handler]:
    """A handler for each type of event, for `Runtime.consume`."""

    async def on_event(work: UnitOfWork, event: Event) -> None:
        now = clock.now()
        if now - event.time < MAILED_WITHIN:
            invitation_id = UUID(event.data.invitation.id)
            await deliveries.add_invitation(work, workspace_id=event.workspace_id, invitation_id=invitation_id, now=now)

    return dict.fromkeys(("invitation.created", "invitation.resent"), on_event)
