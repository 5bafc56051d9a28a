"""rota.tasks.v1.AttachmentService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.options.v1 import files_pb2
from rota.tasks.v1 import attachments_pb2, attachments_pb2_grpc
from rota_chassis.errors import InvalidArgument
from rota_chassis.identity import require_user

from rota_tasks.attachments import commands, queries
from rota_tasks.attachments.domain import SHOWN_INLINE
from rota_tasks.attachments.messages import attachment_message
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_chassis.pagination import PageTokens

    from rota_tasks.attachments.dependencies import Attachments
    from rota_tasks.attachments.domain import Attachment
    from rota_tasks.attachments.ranges import Part


class AttachmentServicer(attachments_pb2_grpc.AttachmentServiceServicer):
    """Serves attachments."""

    def __init__(self, attachments: Attachments, page_tokens: PageTokens) -> None:
        self._attachments = attachments
        self._page_tokens = page_tokens

    async def CreateAttachment(
        self, request_iterator: AsyncIterator[attachments_pb2.CreateAttachmentRequest], _context: Any
    ) -> attachments_pb2.CreateAttachmentResponse:
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise InvalidArgument("The stream has no message; the first one names the task.")
        upload = commands.Upload(
            task_id=UUID(first.task_id),
            name=first.name,
            media_type=first.media_type,
            size=first.size if first.HasField("size") else None,
            request_id=first.request_id,
        )
        attachment = await commands.create_attachment(
            self._attachments, require_user(), upload, _chunks(first, request_iterator)
        )
        return attachments_pb2.CreateAttachmentResponse(attachment=attachment_message(attachment))

    async def GetAttachment(
        self, request: attachments_pb2.GetAttachmentRequest, _context: Any
    ) -> attachments_pb2.GetAttachmentResponse:
        attachment = await queries.get_attachment(self._attachments, require_user(), attachment_id=UUID(request.id))
        return attachments_pb2.GetAttachmentResponse(attachment=attachment_message(attachment))

    async def ListAttachments(
        self, request: attachments_pb2.ListAttachmentsRequest, _context: Any
    ) -> attachments_pb2.ListAttachmentsResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["attachments", user.user_id, request.task_id])
        found = await queries.list_attachments(
            self._attachments, user, task_id=UUID(request.task_id), limit=page.limit, after=page.cursor(UUID)
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return attachments_pb2.ListAttachmentsResponse(attachments=map(attachment_message, rows), next_page_token=token)

    async def DownloadAttachment(
        self, request: attachments_pb2.DownloadAttachmentRequest, _context: Any
    ) -> AsyncIterator[attachments_pb2.DownloadAttachmentResponse]:
        attachment, part, chunks = await queries.open_content(
            self._attachments,
            require_user(),
            attachment_id=UUID(request.id),
            asked=request.range,
            if_range=request.if_range,
        )
        yield attachments_pb2.DownloadAttachmentResponse(head=_head(attachment, part, inline=request.inline))
        async for chunk in chunks:
            yield attachments_pb2.DownloadAttachmentResponse(data=chunk)

    async def GetAttachmentUrl(
        self, request: attachments_pb2.GetAttachmentUrlRequest, _context: Any
    ) -> attachments_pb2.GetAttachmentUrlResponse:
        url, expires_at = await queries.get_url(self._attachments, require_user(), attachment_id=UUID(request.id))
        return attachments_pb2.GetAttachmentUrlResponse(url=url, expires_at=timestamp(expires_at))

    async def DeleteAttachment(
        self, request: attachments_pb2.DeleteAttachmentRequest, _context: Any
    ) -> attachments_pb2.DeleteAttachmentResponse:
        await commands.delete_attachment(self._attachments, require_user(), attachment_id=UUID(request.id))
        return attachments_pb2.DeleteAttachmentResponse()


async def _chunks(
    first: attachments_pb2.CreateAttachmentRequest, others: AsyncIterator[attachments_pb2.CreateAttachmentRequest]
) -> AsyncIterator[bytes]:
    """The content.

    Raises:
        InvalidArgument: the stream was cut off; also one that was cancelled just ends.
    """
    last = first
    if first.data:
        yield first.data
    async for last in others:
        if last.data:
            yield last.data
    if not last.complete:
        raise InvalidArgument("The stream ended before the file did; send it again.", code="UPLOAD_INCOMPLETE")


def _head(attachment: Attachment, part: Part | None, *, inline: bool) -> files_pb2.FileHead:
    if part is None:
        extent, offset, length = files_pb2.FILE_EXTENT_WHOLE, 0, attachment.size
    else:
        extent = files_pb2.FILE_EXTENT_PART if part.length else files_pb2.FILE_EXTENT_NONE
        offset, length = part.offset, part.length
    return files_pb2.FileHead(
        name=attachment.name,
        media_type=attachment.media_type,
        size=attachment.size,
        etag=attachment.etag,
        modified_at=timestamp(attachment.created_at),
        extent=extent,
        offset=offset,
        length=length,
        inline=inline and attachment.media_type in SHOWN_INLINE,
    )
