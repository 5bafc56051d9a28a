"""The events that people are told of; of what happens in a project only those who may see it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rota_notifications.notifications import commands
from rota_notifications.notifications.audience import OCCASIONS, occasions_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.clock import Clock
    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.private_projects import PrivateProjects


def handlers(projects: PrivateProjects, clock: Clock) -> Mapping[str, Handler]:
    """A handler for each type of event, for `Runtime.consume`."""

    async def on_event(work: UnitOfWork, event: Event) -> None:
        for occasion in occasions_of(event):
            project_id = occasion.project_id
            if project_id is None:
                project_id = await projects.project_of(event, str(occasion.task_id))
            if project_id is None:
                continue
            told = await projects.audience(work, event, [project_id], occasion.recipient_ids)
            if told:
                seen = replace(occasion, project_id=project_id, recipient_ids=tuple(told))
                await commands.tell(work, seen, happened_at=event.time, now=clock.now())

    return dict.fromkeys(OCCASIONS, on_event)
