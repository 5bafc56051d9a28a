"""What the use cases of the trash need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    from rota_tasks.tasks.dependencies import Tasks


@dataclass(frozen=True)
class Trash:
    """What the use cases of the trash need, and how long a task stays in it."""

    tasks: Tasks
    retention: timedelta
