"""What the use cases of exports need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_tasks.tasks.dependencies import Tasks


@dataclass(frozen=True)
class Exports:
    """What the use cases of exports need.

    Attributes:
        tasks: Database, memberships and clock.
        wake: Tells the worker that there is something to do.
    """

    tasks: Tasks
    wake: Callable[[], None]
