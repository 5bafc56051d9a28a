"""When the workspaces take turns, and whose turn it is.

A claim by turn costs more than one by rank. So in a backlog a process looks a few times a second who waits; as long as
its claims by rank serve those about evenly, it goes on with them. Where one of them got less than half of its share,
every claim of the next seconds is by turn. Each process counts for itself: when each is even, so are all together.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

from rota_scheduler.runs.claims import FROM_THE_FIRST, Backlog

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from rota_scheduler.runs.claims import Claimed
    from rota_scheduler.runs.domain import Run

LOOK_EVERY_S = 0.5
TURNING_S = 5.0


class Turns:
    """Those of one process."""

    def __init__(self) -> None:
        self._is_backlog = False
        self._looked_at = 0.0
        self._turning_until = 0.0
        self._workspace = FROM_THE_FIRST
        self._by_rank = Counter[UUID]()

    def backlog(self, held: Iterable[Run]) -> Backlog | None:
        """What to claim by, if the next claim is by turn.

        Args:
            held: The runs that the process has already.
        """
        now = time.monotonic()
        if not self._is_backlog or (now >= self._turning_until and now - self._looked_at < LOOK_EVERY_S):
            return None
        self._looked_at = now
        return Backlog(Counter(run.workspace_id for run in held), self._workspace)

    def note(self, claimed: Claimed, *, by_turn: bool) -> None:
        """What came of a claim; there is a backlog when it was as large as it could be."""
        self._is_backlog = claimed.full
        if by_turn:
            self._workspace = claimed.workspace
            if is_uneven(self._by_rank, claimed.waiting):
                self._turning_until = time.monotonic() + TURNING_S
        if by_turn or not claimed.full:
            self._by_rank.clear()
        else:
            self._by_rank.update(run.workspace_id for run in claimed.runs)


def is_uneven(claimed: Mapping[UUID, int], waiting: Collection[UUID]) -> bool:
    """Whether one of those that wait got less than half of what each would have got of all that was claimed."""
    in_all = sum(claimed.values())
    return any(2 * claimed.get(each, 0) * len(waiting) < in_all for each in waiting)
