"""The latest events, in memory: most clients that come back have missed only these."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rota_gateway.live.protocol import Frame

KEPT = 2_000


class Recent:
    """Frames by offset.

    Attributes:
        floor: every frame with a larger offset that there was is here.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._frames: deque[Frame] = deque()
        self.floor = 0

    def begin(self, floor: int) -> None:
        """Forget everything; what comes next is after `floor`."""
        self._frames.clear()
        self.floor = floor

    def add(self, frame: Frame) -> None:
        """Keep the next frame, and let go of the oldest."""
        self._frames.append(frame)
        if len(self._frames) > self._kept:
            self.floor = self._frames.popleft().offset

    def after(self, offset: int) -> Iterator[Frame]:
        """The frames kept after an offset, in order."""
        return (frame for frame in self._frames if frame.offset > offset)
