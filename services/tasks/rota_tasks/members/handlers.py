"""What auth says of workspaces: who leaves one leaves its projects."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from rota_tasks.members.commands import remove_from_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.projects.dependencies import Projects


def handlers(projects: Projects) -> Mapping[str, Handler]:
    """The events of workspaces, for `Runtime.consume`: those of the copy of memberships, and what follows of them."""
    of_memberships = projects.memberships.handlers()

    async def on_removed(work: UnitOfWork, event: Event) -> None:
        await of_memberships["workspace.member_removed"](work, event)
        await remove_from_all(
            work,
            workspace_id=UUID(event.data.membership.workspace_id),
            user_id=UUID(event.data.membership.user_id),
            left_at=event.time,
            now=projects.clock.now(),
        )

    return {**of_memberships, "workspace.member_removed": on_removed}
