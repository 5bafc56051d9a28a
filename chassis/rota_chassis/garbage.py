"""When Python looks for garbage in cycles (`gc`)."""

from __future__ import annotations

import gc

COLLECT_AFTER = 20_000


def collect_seldom() -> None:
    """Look for garbage after so many new objects, and not among what is there now; for a process that has started.

    By default it is looked for after 700: in all that the runs or requests under way hold, thousands of times a minute,
    which took 7 % of the time of a scheduler. What holds no cycles is freed at once in any case.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)
