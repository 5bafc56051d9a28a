"""What changes attachments: one function a use case.

An upload is two transactions with the bytes between them: the first reserves room in the workspace's quota and writes
the object's row, the last makes the attachment. Parallel uploads take turns on the sum of the workspace (see
`ledger`). What fails or is cancelled in between gives its room back at once; what dies there leaves a row, which the
clean-up finds an hour later, when no upload that began then can still be under way. A task cannot go to the trash while
an attachment of it is made.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from rota_chassis.errors import (
    Conflict,
    ContentTooLarge,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Violation,
)
from rota_chassis.ids import uuid7
from rota_chassis.memberships import ADMIN, OWNER, WRITERS, require_role
from rota_chassis.requests import Request

from rota_tasks.attachments import domain, ledger, queries, store, types
from rota_tasks.attachments.domain import Attachment, AttachmentCreated
from rota_tasks.attachments.messages import event_message
from rota_tasks.comments.store import hold_task
from rota_tasks.tasks import requirements
from rota_tasks.tasks.queries import get_task, no_such_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.attachments.dependencies import Attachments
    from rota_tasks.attachments.domain import AttachmentEvent

MODERATORS = frozenset({OWNER, ADMIN})
RESERVED_AT_ONCE = 4 * 1024 * 1024
"""How much room an upload of unknown length takes before it needs more."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What a call says of a file.

    Attributes:
        task_id: The task it is for.
        name: As given.
        media_type: As given; empty for none.
        size: In bytes; None when it is not known beforehand.
        request_id: Makes the call repeatable; empty for none.
    """

    task_id: UUID
    name: str
    media_type: str
    size: int | None
    request_id: str


async def create_attachment(
    attachments: Attachments, user: UserPrincipal, upload: Upload, chunks: AsyncIterator[bytes]
) -> Attachment:
    """Attach a file to a task, as fast as the file store takes it.

    Raises:
        NotFound: the task does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        InvalidArgument: the file has no name.
        ContentTooLarge: it is longer than a file may be.
        Conflict: the workspace's quota does not allow it.
        Unprocessable: the request id was used for another file.
        Unavailable: the file store does not answer.
    """
    tasks = attachments.tasks
    workspace_id = (await get_task(tasks, user, task_id=upload.task_id)).workspace_id
    await requirements.require_writer(tasks.database, user, workspace_id=workspace_id, task_ids=[upload.task_id])
    name = domain.file_name(upload.name)
    if not name:
        raise _no_name()
    now = tasks.clock.now()
    async with _room(attachments, workspace_id, upload, now=now) as room:
        head, rest = await _beginning(chunks)
        media_type = types.media_type(head, upload.media_type)
        digest = hashlib.sha256()
        async with attachments.files.writing(
            workspace_id, room.object_id, attributes=_attributes(name, media_type)
        ) as write:
            async for chunk in rest:
                await room.take(len(chunk))
                digest.update(chunk)
                await write(chunk)
        attachment = Attachment(
            id=room.object_id,
            workspace_id=workspace_id,
            task_id=upload.task_id,
            name=name,
            media_type=media_type,
            size=room.used,
            sha256=digest.hexdigest(),
            created_by=user.user_id,
            created_at=now,
        )
        return await _store(attachments, user, upload, attachment, room)


async def delete_attachment(attachments: Attachments, user: UserPrincipal, *, attachment_id: UUID) -> None:
    """Delete one's own attachment, or as an owner or admin any.

    Raises:
        NotFound: it does not exist, or not for the user.
        PermissionDenied: it is another's, or the user's role does not allow writing.
    """
    await queries.get_attachment(attachments, user, attachment_id=attachment_id)
    async with attachments.tasks.database.transaction() as work:
        found = await store.lock(work, user_id=user.user_id, attachment_id=attachment_id)
        if found is None:
            raise queries.no_such_attachment()
        attachment, project_id, role = found
        require_role(role, WRITERS)
        if attachment.created_by != user.user_id and role not in MODERATORS:
            raise PermissionDenied("Only whoever attached this file can delete it.", code="ATTACHMENT_AUTHOR_REQUIRED")
        await _apply(work, domain.delete(attachment, project_id=project_id, now=attachments.tasks.clock.now()))
        await ledger.release(work, workspace_id=attachment.workspace_id, uses={attachment.object_id: 1})


class _Room:
    """What an upload may take of the workspace's quota; it grows as long as the quota allows.

    Attributes:
        object_id: Of the object that takes it.
        used: How many bytes there were so far.
        reserved: How many are counted for it.
    """

    def __init__(self, attachments: Attachments, workspace_id: UUID, *, reserved: int) -> None:
        self.object_id = uuid7()
        self.used = 0
        self.reserved = reserved
        self._attachments = attachments
        self._workspace_id = workspace_id

    async def take(self, size: int) -> None:
        """Count bytes that come.

        Raises:
            ContentTooLarge: the file is longer than a file may be.
            Conflict: the workspace's quota does not allow more.
        """
        self.used += size
        if self.used > self._attachments.max_bytes:
            raise _too_large(self._attachments.max_bytes)
        if self.used <= self.reserved:
            return
        more = max(RESERVED_AT_ONCE, self.used - self.reserved)
        async with self._attachments.tasks.database.transaction() as work:
            allowed = await ledger.reserve_more(
                work,
                workspace_id=self._workspace_id,
                object_id=self.object_id,
                size=more,
                quota=self._attachments.quota_bytes,
            )
            if allowed is None:
                raise _expired()
            if not allowed:
                raise _over_quota(self._attachments.quota_bytes)
        self.reserved += more


@asynccontextmanager
async def _room(attachments: Attachments, workspace_id: UUID, upload: Upload, *, now: datetime) -> AsyncIterator[_Room]:
    """Room for an upload, given back when the block raises."""
    if upload.size is not None and upload.size > attachments.max_bytes:
        raise _too_large(attachments.max_bytes)
    room = _Room(attachments, workspace_id, reserved=RESERVED_AT_ONCE if upload.size is None else upload.size)
    key = {"workspace_id": workspace_id, "object_id": room.object_id}
    database = attachments.tasks.database
    async with database.transaction() as work:
        if not await ledger.reserve(
            work, **key, task_id=upload.task_id, size=room.reserved, quota=attachments.quota_bytes, now=now
        ):
            raise _over_quota(attachments.quota_bytes)

    async def give_back() -> None:
        async with database.transaction() as work:
            await ledger.abandon(work, **key)

    try:
        yield room
    except BaseException:
        await asyncio.shield(give_back())
        raise


async def _beginning(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first bytes, as many as tell a type, and all chunks, with them."""
    first: list[bytes] = []
    length = 0
    async for chunk in chunks:
        first.append(chunk)
        length += len(chunk)
        if length >= types.HEAD_BYTES:
            break

    async def everything() -> AsyncIterator[bytes]:
        for chunk in first:
            yield chunk
        async for chunk in chunks:
            yield chunk

    return b"".join(first), everything()


async def _store(
    attachments: Attachments, user: UserPrincipal, upload: Upload, attachment: Attachment, room: _Room
) -> Attachment:
    """Make the attachment of a file that has been written; or the one that a call before this made."""
    workspace_id = attachment.workspace_id
    async with attachments.tasks.database.transaction() as work:
        request = Request(upload.request_id, _fingerprint(attachment)) if upload.request_id else None
        made = await store.REQUESTS.record(
            work, request, workspace_id=workspace_id, user_id=user.user_id, makes=attachment.id
        )
        if made is not None:
            await ledger.abandon(work, workspace_id=workspace_id, object_id=attachment.id)
            return await _made_before(work, user, made)
        held = await hold_task(work, user_id=user.user_id, workspace_id=workspace_id, task_id=attachment.task_id)
        if held is None or held.role is None:
            raise no_such_task()
        require_role(held.role, WRITERS)
        unused = room.reserved - room.used
        if not await ledger.store(work, workspace_id=workspace_id, object_id=attachment.id, unused=unused):
            raise _expired()
        await _apply(work, AttachmentCreated(attachment, project_id=held.project_id))
    return attachment


async def _made_before(work: UnitOfWork, user: UserPrincipal, attachment_id: UUID) -> Attachment:
    attachment = await store.get(work, user_id=user.user_id, attachment_id=attachment_id)
    if attachment is None:
        raise NotFound("The attachment that this call made has been deleted.", code="ATTACHMENT_NOT_FOUND")
    return attachment


async def _apply(work: UnitOfWork, event: AttachmentEvent) -> None:
    work.append(event_message(event))
    await store.project(work, event)


def _fingerprint(attachment: Attachment) -> bytes:
    content = (str(attachment.task_id), attachment.name, attachment.media_type, attachment.sha256)
    return hashlib.sha256("\0".join(content).encode()).digest()


def _attributes(name: str, media_type: str) -> dict[str, str]:
    """What an address of the content answers with: never anything that a browser runs."""
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return {"Content-Type": media_type, "Content-Disposition": disposition}


def _no_name() -> InvalidArgument:
    return InvalidArgument(
        "The file needs a name: in `name`, in its form, or in a Content-Disposition header.",
        code="FILE_NAME_REQUIRED",
        violations=[Violation("name", "has no character that a file name can have", "required")],
    )


def _too_large(limit: int) -> ContentTooLarge:
    return ContentTooLarge(f"A file must not exceed {limit} bytes.", code="FILE_TOO_LARGE")


def _over_quota(quota: int) -> Conflict:
    return Conflict(
        f"The files of this workspace must not exceed {quota} bytes together; delete some first.",
        code="STORAGE_QUOTA_EXCEEDED",
    )


def _expired() -> Conflict:
    return Conflict("The upload took too long and was given up; send it again.", code="UPLOAD_EXPIRED")
