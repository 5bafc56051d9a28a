"""What became of some records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_tasks.imports.domain import Count, Problem, RejectedRecord

if TYPE_CHECKING:
    from uuid import UUID

    from rota_tasks.imports.domain import Record


class Outcome:
    """What became of some records, as it is found out.

    Attributes:
        counts: By kind of record.
        problems: In the order found.
        made: What was created, by the keys of records.
    """

    def __init__(self) -> None:
        self.counts: dict[str, Count] = {}
        self.problems: list[Problem] = []
        self.made: dict[str, UUID] = {}

    def create(self, record: Record, made: UUID | None = None) -> None:
        """It was created, without what its notes tell."""
        self._count(record, Count(created=1))
        self.problems += record.notes
        if made is not None:
            self.made[record.key] = made

    def skip(self, record: Record) -> None:
        """It had been imported before."""
        self._count(record, Count(skipped=1))

    def fail(self, record: Record, code: str, detail: str) -> None:
        """It cannot be created."""
        self._count(record, Count(failed=1))
        self.problems.append(Problem(record.place, code, detail, left_out=True))

    def reject(self, record: RejectedRecord) -> None:
        """It could not be read."""
        self._count(record, Count(failed=1))
        self.problems += record.notes

    def note(self, record: Record, code: str, detail: str) -> None:
        """It is created without something."""
        self.problems.append(Problem(record.place, code, detail))

    def _count(self, record: Record, count: Count) -> None:
        self.counts[record.kind] = self.counts.get(record.kind, Count()).plus(count)
