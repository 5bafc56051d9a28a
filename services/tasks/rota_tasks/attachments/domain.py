"""An attachment: a file that belongs to a task. It never changes.

Pure: names as file systems take them, and the events of an attachment.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

MAX_NAME_BYTES = 255
UNKNOWN_TYPE = "application/octet-stream"
SHOWN_INLINE = frozenset({"application/pdf", "image/avif", "image/gif", "image/jpeg", "image/png", "image/webp"})
"""Types that browsers show without running anything in them."""
_LEFT_OUT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MAX_EXTENSION_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file; the fields are those of rota.tasks.v1.Attachment.

    Attributes:
        stored_with: The attachment with which the file was stored; None for itself.
    """

    id: UUID
    workspace_id: UUID
    task_id: UUID
    name: str
    media_type: str
    size: int
    sha256: str
    created_by: UUID
    created_at: datetime
    version: int = 1
    stored_with: UUID | None = None

    @property
    def object_id(self) -> UUID:
        """Of the stored file, which several may have."""
        return self.stored_with or self.id

    @property
    def etag(self) -> str:
        """Strong entity tag of it and of its content, quotes included: the digest."""
        return f'"{self.sha256}"'

    def shared(self, new_id: UUID, task_id: UUID, *, now: datetime) -> Attachment:
        """The attachment of another task that has the same file."""
        return replace(self, id=new_id, task_id=task_id, stored_with=self.object_id, created_at=now, version=1)


@dataclass(frozen=True, slots=True)
class AttachmentEvent:
    """Something happened to an attachment; `attachment` is it after that, and `project_id` the project of its task."""

    attachment: Attachment
    project_id: UUID | None = field(default=None, kw_only=True)


class AttachmentCreated(AttachmentEvent):
    """It was stored whole."""


@dataclass(frozen=True, slots=True)
class AttachmentDeleted(AttachmentEvent):
    """It was deleted at this time; `attachment` is one version on."""

    deleted_at: datetime


def delete(attachment: Attachment, *, project_id: UUID | None, now: datetime) -> AttachmentDeleted:
    """End it."""
    return AttachmentDeleted(replace(attachment, version=attachment.version + 1), now, project_id=project_id)


def file_name(given: str) -> str:
    """A name that every file system takes: no folder, no control or invisible characters, NFC, at most 255 bytes.

    Returns:
        Empty when nothing is left.
    """
    last = given.replace("\\", "/").rpartition("/")[2]
    visible = "".join(each for each in last if unicodedata.category(each) not in _LEFT_OUT)
    name = unicodedata.normalize("NFC", visible).strip()
    if not name.strip("."):
        return ""
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _MAX_EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    room = MAX_NAME_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip() + dot + extension
