"""What the use cases of imports need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_tasks.tasks.dependencies import Tasks


@dataclass(frozen=True)
class Imports:
    """What the use cases of imports need.

    Attributes:
        tasks: Database, memberships and clock.
        wake: Tells the worker that there is something to do.
    """

    tasks: Tasks
    wake: Callable[[], None]
