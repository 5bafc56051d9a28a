"""Links and their events as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.events.v1 import events_pb2
from rota.tasks.v1 import sharing_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.sharing.domain import Access, ShareLink
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

ACCESS_NUMBERS = {each: sharing_pb2.ShareAccess.Value(f"SHARE_ACCESS_{each.name}") for each in Access}
ACCESSES = {number: each for each, number in ACCESS_NUMBERS.items()}


def link_message(link: ShareLink) -> sharing_pb2.ShareLink:
    """The link as the API shows it, without its secret."""
    return sharing_pb2.ShareLink(
        id=str(link.id),
        workspace_id=str(link.workspace_id),
        task_id=str(link.task_id) if link.task_id else None,
        project_id=str(link.project_id) if link.project_id else None,
        access=ACCESS_NUMBERS[link.access],
        expires_at=timestamp(link.expires_at),
        created_by=str(link.created_by),
        created_at=timestamp(link.created_at),
    )


def created_message(link: ShareLink, *, project_id: UUID | None) -> NewEvent:
    """That a link was made to something in a project, or in none, as the log keeps it."""
    return NewEvent(
        workspace_id=link.workspace_id,
        aggregate_id=link.id,
        aggregate_version=1,
        data=events_pb2.ShareLinkCreated(share_link=link_message(link), project_id=str(project_id or "")),
        time=link.created_at,
    )


def revoked_message(link: ShareLink, *, project_id: UUID | None, now: datetime) -> NewEvent:
    """That a link was revoked, as the log keeps it."""
    return NewEvent(
        workspace_id=link.workspace_id,
        aggregate_id=link.id,
        aggregate_version=2,
        data=events_pb2.ShareLinkRevoked(share_link=link_message(link), project_id=str(project_id or "")),
        time=now,
    )
