"""What reads attachments."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound, Unprocessable

from rota_tasks.attachments import store
from rota_tasks.attachments.ranges import Part, asked_part
from rota_tasks.tasks.queries import get_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.attachments.dependencies import Attachments
    from rota_tasks.attachments.domain import Attachment

URL_WORKS = timedelta(minutes=10)


async def get_attachment(attachments: Attachments, user: UserPrincipal, *, attachment_id: UUID) -> Attachment:
    """One attachment.

    Raises:
        NotFound: it does not exist, or not for the user, or its task is in the trash.
    """
    tasks = attachments.tasks
    for attempt in range(2):
        attachment = await store.get(tasks.database, user_id=user.user_id, attachment_id=attachment_id)
        if attachment is not None:
            return attachment
        if not attempt:
            await tasks.memberships.refresh(user.user_id)
    raise no_such_attachment()


async def list_attachments(
    attachments: Attachments, user: UserPrincipal, *, task_id: UUID, limit: int, after: UUID | None
) -> Sequence[Attachment]:
    """The oldest attachments of a task (see `store.page`).

    Raises:
        NotFound: the task does not exist, or not for the user.
    """
    task = await get_task(attachments.tasks, user, task_id=task_id)
    return await store.page(
        attachments.tasks.database, workspace_id=task.workspace_id, task_id=task_id, limit=limit, after=after
    )


async def open_content(
    attachments: Attachments, user: UserPrincipal, *, attachment_id: UUID, asked: str, if_range: str
) -> tuple[Attachment, Part | None, AsyncIterator[bytes]]:
    """An attachment, which part of its content a Range header asks for (None for all), and that part.

    Raises:
        NotFound: see `get_attachment`.
        Unavailable: the file store does not answer.
    """
    attachment = await get_attachment(attachments, user, attachment_id=attachment_id)
    part = asked_part(asked, size=attachment.size, if_range=if_range, etag=attachment.etag)
    wanted = part or Part(0, attachment.size)
    chunks = await attachments.files.reading(
        attachment.workspace_id, attachment.object_id, offset=wanted.offset, length=wanted.length
    )
    return attachment, part, chunks


async def get_url(attachments: Attachments, user: UserPrincipal, *, attachment_id: UUID) -> tuple[str, datetime]:
    """An address of the content for whoever has it, and when it stops working.

    Raises:
        NotFound: see `get_attachment`.
        Unprocessable: the file store has no addresses (code DOWNLOAD_URL_UNAVAILABLE).
    """
    attachment = await get_attachment(attachments, user, attachment_id=attachment_id)
    expires_at = attachments.tasks.clock.now() + URL_WORKS
    url = await attachments.files.url(attachment.workspace_id, attachment.object_id, expires_in=URL_WORKS)
    if url is None:
        raise Unprocessable(
            "Files are kept on disk here, which has no addresses; get the content with your access token.",
            code="DOWNLOAD_URL_UNAVAILABLE",
        )
    return url, expires_at


def no_such_attachment() -> NotFound:
    """The answer for an attachment that does not exist, or that the caller may not see."""
    return NotFound("There is no such attachment.", code="ATTACHMENT_NOT_FOUND")
