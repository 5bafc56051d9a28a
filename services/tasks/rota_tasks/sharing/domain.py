"""A link that lets people outside of a workspace see a task or a project."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

MAX_LINKS = 1000
"""Of one workspace, revoked ones aside."""
_TOKEN_BYTES = 32


class Access(StrEnum):
    """What a link lets people do."""

    READ = "read"
    COMMENT = "comment"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLink:
    """A link; the fields are those of rota.tasks.v1.ShareLink, of which one of task and project is set."""

    id: UUID
    workspace_id: UUID
    task_id: UUID | None
    project_id: UUID | None
    access: Access
    expires_at: datetime | None
    created_by: UUID
    created_at: datetime


def new_token() -> str:
    """The secret of a new link: 256 random bits, in 43 characters of base64url."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def digest(token: str) -> bytes:
    """What is kept of a secret; it is random enough for a fast hash."""
    return hashlib.sha256(token.encode()).digest()
