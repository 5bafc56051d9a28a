"""Which way to the newest matches of a search is the shortest.

Of each workspace the newest matches are ranked, `RANKED` at most. How to find them depends on how many there are: those
of a rare word are read from the index of words, which must be read to the end before one is known to be the newest; for
a common word it is less to go through the newest tasks until there are enough; and where a filter leaves a part of
these only, through the newest that it lets through. A sample of the newest tasks says which (`Sample.way`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

RANKED = 500
"""How many matches of a workspace are ranked at most, the newest."""

_COMMON = 0.025
"""From which share of the sample on it is less to go through the newest: of a million, the way by the index would read
as many (25,000) as the other goes through (500 / 0.025)."""
_PRIOR = 0.05
"""Which share of the sample more is taken to be let through, and to have the words as often as all."""
_WALK = 0.1
"""By how much more must be let through than has the words, for it to be less to go through the documents and look up
the tasks of those that have them than to go through the tasks and look up the documents of those that are let through:
to look up costs as much as to go through five, or ten of an index."""
_SLACK = 3
"""How far beyond what the sample promises the newest are gone through, before the index is asked for the rest."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What part of the newest tasks matches.

    Attributes:
        words: Which share has the words.
        passing: Which share the user sees and the filter lets through.
        both: Which share has the words and is let through.
        some_hidden: Whether there are projects hidden from the user: then a task is let through only if it is in none.
    """

    words: float = 0.0
    passing: float = 0.0
    both: float = 0.0
    some_hidden: bool = False

    @property
    def way(self) -> Way:
        """How to find the newest matches with the least to look at."""
        if self.words < _COMMON:
            return Way()
        # Few may have been let through: then they are taken to have the words like all others.
        of_passing = (self.both + self.words * _PRIOR) / (self.passing + _PRIOR)
        if of_passing < _COMMON:
            return Way(by_filter=True)
        if self.both and self.passing >= min(self.words + _WALK, 1 - _WALK):
            return Way(newest=int(_SLACK * RANKED / self.both))
        return Way(by_filter=True, newest=int(_SLACK * RANKED / of_passing))


@dataclass(frozen=True, slots=True)
class Way:
    """How to find the newest matches of a workspace.

    Attributes:
        by_filter: Whether to begin with the tasks that the filter lets through, rather than with the words.
        newest: How many to go through before all others, the newest; 0 means all at once.
    """

    by_filter: bool = False
    newest: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended."""

    score: float
    id: UUID
