"""What the use cases of attachments need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota_tasks.attachments.files import FileStore
    from rota_tasks.tasks.dependencies import Tasks


@dataclass(frozen=True)
class Attachments:
    """What the use cases of attachments need.

    Attributes:
        tasks: What those of tasks need.
        files: Where the bytes are.
        max_bytes: How long a file may be.
        quota_bytes: How long all files of a workspace may be together.
    """

    tasks: Tasks
    files: FileStore
    max_bytes: int
    quota_bytes: int
