"""Some records on their way to what they create: what is known of what they refer to, and what becomes of them.

Pure. The writer finds out what there is; `new_frame`, `new_tasks` and `new_parts` say what is new, and note it here for
the records that refer to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_tasks.imports.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_tasks.boards.domain import State
    from rota_tasks.fields.domain import CustomField
    from rota_tasks.imports.domain import Import, Record, TaskRecord
    from rota_tasks.imports.people import People


class Foreseen:
    """What a dry run would have created, for the records that refer to it."""

    def __init__(self) -> None:
        self.ids: dict[str, UUID] = {}
        self.projects: dict[UUID, Sequence[State]] = {}
        self.sections: dict[UUID, UUID] = {}
        self.fields: dict[UUID, list[CustomField]] = {}
        self.labels: dict[str, UUID] = {}
        self.levels: dict[UUID, int] = {}
        self.recurring: set[UUID] = set()
        self.in_state: dict[UUID, int] = {}


class Batch:
    """Some records, created at once.

    Args:
        job: The import.
        people: Who is known by which name.
        foreseen: Kept from batch to batch; only a dry run adds to it.
        now: When it is.

    Attributes:
        outcome: What became of the records.
        ids: By the keys of records.
        projects: Those that there are, of those named.
        sections: Those that there are, of those named, with their projects.
        labels: By what their names have in common.
        levels: How deep tasks stand that others are to be a part of.
        recurring: Tasks that recur, and what is below them.
        states: Of the projects that tasks go into.
        in_state: How many tasks there are in states that have a limit.
        fields: Custom fields of the projects that tasks go into.
    """

    def __init__(self, job: Import, people: People, foreseen: Foreseen, *, now: datetime) -> None:
        self.job = job
        self.people = people
        self.foreseen = foreseen
        self.now = now
        self.made: dict[str, Any] = {"created_by": job.created_by, "created_at": now, "updated_at": now}
        self.outcome = Outcome()
        self.ids: dict[str, UUID] = {}
        self.projects: set[UUID] = set()
        self.sections: dict[UUID, UUID] = {}
        self.labels: dict[str, UUID] = {}
        self.levels: dict[UUID, int] = {}
        self.recurring: set[UUID] = set()
        self.states: dict[UUID, Sequence[State]] = {}
        self.in_state: dict[UUID, int] = {}
        self.fields: dict[UUID, list[CustomField]] = {}

    def create(self, record: Record, made: UUID) -> None:
        """A record creates this, and others may refer to it."""
        self.ids[record.key] = made
        self.outcome.create(record, made)

    def project_of(self, record: TaskRecord) -> UUID | None:
        """The project that a task goes into, if any."""
        return self.job.project_id if record.project is None else self.ids.get(record.project)

    def people_of(self, record: Record, names: Iterable[str], most: int) -> tuple[UUID, ...]:
        """The members whom a record names, each once; of the others the first time is noted."""
        found = []
        for name in names:
            person = self.people.find(name)
            if person is not None:
                found.append(person)
            elif self.people.first_miss(name):
                self.outcome.note(
                    record, "PERSON_UNKNOWN", f"No member is known for `{name[:100]}`; say who it is in `people`."
                )
        people = tuple(dict.fromkeys(found))
        if len(people) > most:
            self.outcome.note(record, "TOO_MANY_PEOPLE", f"It names more than {most} people; it gets the first.")
        return people[:most]
