"""Creates what records say, some hundred at a time and in one transaction: each kind at once, not one by one.

Imports of one workspace take turns, a transaction each; so what one has created the other finds. The structure of the
workspace and the boards that tasks enter are held as by any other writer (see `locks`).

What is new is decided in `new_frame`, `new_tasks` and `new_parts`, which know no database; here it is found out what
there is, and written what is new. A dry run goes the same way and leaves out the writing; what it would have created it
keeps in mind for the records that refer to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.errors import RotaError
from rota_chassis.identity import ROLE_USER, UserPrincipal

from rota_tasks import bulk, locks
from rota_tasks.boards import store as board_store
from rota_tasks.boards.domain import Section, State
from rota_tasks.bulk import Bulk
from rota_tasks.fields import store as field_store
from rota_tasks.imports import lookups, new_frame, new_parts, new_tasks, store
from rota_tasks.imports.batch import Batch, Foreseen
from rota_tasks.imports.domain import (
    CommentRecord,
    FieldRecord,
    ItemRecord,
    LabelRecord,
    ProjectRecord,
    ReactionRecord,
    RejectedRecord,
    RelationRecord,
    SectionRecord,
    TaskRecord,
)
from rota_tasks.keys import commands as keys
from rota_tasks.reactions import domain as reaction_domain
from rota_tasks.reactions import messages as reaction_messages
from rota_tasks.reactions import store as reaction_store
from rota_tasks.relations import commands as relation_commands
from rota_tasks.search import documents

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import Lock, UnitOfWork

    from rota_tasks.fields.domain import CustomField
    from rota_tasks.imports.domain import Import, Record
    from rota_tasks.imports.outcome import Outcome
    from rota_tasks.imports.people import People

_ON_TASKS = (TaskRecord, ItemRecord, CommentRecord)


class Writer:
    """Creates what the records of one import say, in the name of whoever started it."""

    def __init__(self, job: Import, people: People) -> None:
        self._job = job
        self._people = people
        self._foreseen = Foreseen()
        self.locks = frozenset({locks.imports(job.workspace_id)})
        """What the last batch held; the next most often needs the same."""

    async def write(self, work: UnitOfWork, records: Sequence[Record], *, now: datetime) -> Outcome:
        """Create what the records say, in an ordered transaction that began with `locks`."""
        batch = Batch(self._job, self._people, self._foreseen, now=now)
        writing = _Writing(work, batch)
        self.locks = await writing.find(records)
        # From here on nothing is held late, so that the transaction does not begin again.
        await work.hold(*self.locks)
        await writing.projects(_of(records, ProjectRecord))
        await writing.sections(_of(records, SectionRecord))
        await writing.fields(_of(records, FieldRecord))
        await writing.labels(_of(records, LabelRecord), _of(records, TaskRecord))
        await writing.tasks(_of(records, TaskRecord))
        await writing.items(_of(records, ItemRecord))
        await writing.relations(_of(records, RelationRecord))
        await writing.comments(_of(records, CommentRecord))
        await writing.reactions(_of(records, ReactionRecord))
        for record in _of(records, RejectedRecord):
            batch.outcome.reject(record)
        await writing.finish()
        return batch.outcome


class _Writing:
    """A batch on its way into the database."""

    def __init__(self, work: UnitOfWork, batch: Batch) -> None:
        self._work = work
        self._batch = batch
        self._job = batch.job
        self._workspace_id = batch.job.workspace_id
        self._user = UserPrincipal(batch.job.created_by, batch.job.workspace_id, ROLE_USER, None)
        self._stale: set[UUID] = set()

    async def find(self, records: Sequence[Record]) -> frozenset[Lock]:
        """Find what the records refer to; what has to be held to create them."""
        batch = self._batch
        found = await store.known(self._work, self._job, _keys(records))
        batch.ids = batch.foreseen.ids | found if self._job.dry_run else found
        projects = [batch.ids[key] for key in batch.ids if key.startswith("project:")]
        if self._job.project_id is not None:
            projects.append(self._job.project_id)
        living = await lookups.living_projects(self._work, self._workspace_id, self._job.created_by, projects)
        batch.projects = living | batch.foreseen.projects.keys()
        sections = [batch.ids[key] for key in batch.ids if key.startswith("section:")]
        batch.sections = await lookups.living_sections(self._work, self._workspace_id, sections)
        batch.sections |= batch.foreseen.sections
        held = {locks.imports(self._workspace_id), *map(locks.board, living)}
        if _of(records, RelationRecord):
            held.add(locks.structure(self._workspace_id, alone=True))
        elif any(not isinstance(record, TaskRecord) or record.parent for record in _of(records, _ON_TASKS)):
            # Nothing is deleted meanwhile.
            held.add(locks.structure(self._workspace_id, alone=False))
        return frozenset(held)

    async def projects(self, records: Sequence[ProjectRecord]) -> None:
        """Create projects with their states."""
        for record in records:
            new = new_frame.project(self._batch, record)
            if new is not None and not self._job.dry_run:
                project, states = new
                await bulk.add_frame(self._work, Bulk(projects=[await keys.named(self._work, project)], columns=states))

    async def sections(self, records: Sequence[SectionRecord]) -> None:
        """Create sections, each as the last of its project."""
        among: dict[str, Any] = {"workspace_id": self._workspace_id}
        for record in records:
            if self._batch.ids.get(record.key) in self._batch.sections:
                self._batch.outcome.skip(record)
                continue
            project_id = new_frame.project_of(self._batch, record)
            if project_id is None:
                continue
            there = await board_store.columns(self._work, Section, **among, project_id=project_id)
            section = new_frame.section(self._batch, record, project_id, there)
            if section is not None and not self._job.dry_run:
                await bulk.add_frame(self._work, Bulk(columns=[section]))

    async def fields(self, records: Sequence[FieldRecord]) -> None:
        """Create custom fields, each as the last of its project."""
        for record in records:
            project_id = new_frame.project_of(self._batch, record)
            if project_id is None:
                continue
            field = new_frame.field(self._batch, record, project_id, await self._fields_of(project_id))
            if field is not None and not self._job.dry_run:
                await bulk.add_frame(self._work, Bulk(fields=[field]))

    async def _fields_of(self, project_id: UUID) -> list[CustomField]:
        """The custom fields of a project, which do not change meanwhile."""
        found, foreseen = self._batch.fields, self._batch.foreseen
        if project_id not in found and project_id in foreseen.projects:
            found[project_id] = foreseen.fields.setdefault(project_id, [])
        elif project_id not in found:
            scope = {"workspace_id": self._workspace_id, "project_id": project_id}
            found[project_id] = list(await field_store.hold(self._work, **scope))
        return found[project_id]

    async def labels(self, records: Sequence[LabelRecord], tasks: Sequence[TaskRecord]) -> None:
        """Create the labels that there are not yet, those that tasks name included."""
        wanted = new_frame.label_names(records, tasks)
        if not wanted:
            return
        found = await lookups.labels(self._work, self._workspace_id, wanted)
        self._batch.labels = self._batch.foreseen.labels | found
        labels = list(new_frame.labels(self._batch, records, tasks))
        if not self._job.dry_run:
            await bulk.add_frame(self._work, Bulk(labels=labels))

    async def tasks(self, records: Sequence[TaskRecord]) -> None:
        """Create tasks, those above others first."""
        batch, fresh = self._batch, new_tasks.fresh(self._batch, records)
        above = {batch.ids[record.parent] for record in fresh if record.parent and record.parent in batch.ids}
        if above:
            batch.levels = await lookups.levels(self._work, self._workspace_id, above)
            batch.recurring = await lookups.recurring(self._work, self._workspace_id, above)
        batch.levels |= batch.foreseen.levels
        batch.recurring |= batch.foreseen.recurring
        await self._find_states(fresh)
        new = new_tasks.tasks(batch, fresh)
        if new and not self._job.dry_run:
            await bulk.add_tasks(self._work, new)

    async def _find_states(self, records: Sequence[TaskRecord]) -> None:
        """The states of the projects that tasks go into, whose boards are held."""
        batch = self._batch
        projects = {project_id for record in records if (project_id := batch.project_of(record)) is not None}
        among: dict[str, Any] = {"workspace_id": self._workspace_id}
        for project_id in sorted(projects & batch.projects):
            await self._fields_of(project_id)
            if project_id in batch.foreseen.projects:
                batch.states[project_id] = batch.foreseen.projects[project_id]
                continue
            states = await board_store.columns(self._work, State, **among, project_id=project_id)
            batch.states[project_id] = states
            for state in states:
                if state.wip_limit:
                    batch.in_state[state.id] = await board_store.count_in(
                        self._work, State, **among, project_id=project_id, column_id=state.id
                    ) + batch.foreseen.in_state.get(state.id, 0)

    async def items(self, records: Sequence[ItemRecord]) -> None:
        """Add steps to the checklists of tasks."""
        ids = {self._batch.ids[record.task] for record in records if record.task in self._batch.ids}
        living: Collection[UUID] = self._batch.foreseen.levels if self._job.dry_run else ()
        there: Mapping[UUID, tuple[int, str]] = {}
        about: Mapping[UUID, tuple[str, UUID | None]] = {}
        if ids:
            about = await lookups.tasks(self._work, self._workspace_id, self._job.created_by, ids)
            living = {*living, *about}
            there = await lookups.checklists(self._work, self._workspace_id, ids)
        new = new_parts.items(self._batch, records, living, there)
        if new and not self._job.dry_run:
            await bulk.add_items(self._work, new, {task_id: project_id for task_id, (_, project_id) in about.items()})

    async def relations(self, records: Sequence[RelationRecord]) -> None:
        """Relate tasks, one after another: whether one closes a circle depends on those before."""
        for record in records:
            relation = new_parts.relation(self._batch, record)
            if relation is None:
                continue
            try:
                if not self._job.dry_run:
                    async with self._work.savepoint():
                        relation = await relation_commands.add(self._work, self._user, relation)
            except RotaError as error:
                self._batch.outcome.fail(record, error.code, error.detail)
            else:
                self._batch.create(record, relation.id)

    async def comments(self, records: Sequence[CommentRecord]) -> None:
        """Say what was said."""
        ids = {self._batch.ids[record.task] for record in records if record.task in self._batch.ids}
        about: Mapping[UUID, tuple[str, UUID | None]] = {}
        if ids:
            about = await lookups.tasks(self._work, self._workspace_id, self._job.created_by, ids)
        new = new_parts.comments(self._batch, records, about.keys())
        if new and not self._job.dry_run:
            await bulk.add_comments(self._work, new, about)
            self._stale.update(comment.task_id for comment in new)

    async def reactions(self, records: Sequence[ReactionRecord]) -> None:
        """React as people did who are known here."""
        ids = {self._batch.ids[record.comment] for record in records if record.comment in self._batch.ids}
        known: Mapping[UUID, tuple[UUID, UUID | None]] = {}
        if ids:
            known = await lookups.comments(self._work, self._workspace_id, self._job.created_by, ids)
        task_of = {comment_id: task_id for comment_id, (task_id, _) in known.items()}
        for record in records:
            reaction = new_parts.reaction(self._batch, record, task_of)
            if reaction is not None and not self._job.dry_run:
                added = reaction_domain.add(reaction, project_id=known[reaction.comment_id][1])
                self._work.append(reaction_messages.event_message(added))
                await reaction_store.project(self._work, added)

    async def finish(self) -> None:
        """Bring search up to date, and remember what was created."""
        if self._job.dry_run:
            self._batch.foreseen.ids |= self._batch.outcome.made
            return
        if self._stale:
            await documents.write(self._work, workspace_id=self._workspace_id, task_ids=sorted(self._stale))
        await store.remember(self._work, self._job, self._batch.outcome.made)


def _of(records: Sequence[Record], kind: type[Any] | tuple[type[Any], ...]) -> list[Any]:
    return [record for record in records if isinstance(record, kind)]


def _keys(records: Sequence[Record]) -> set[str]:
    """The keys of the records and of what they refer to."""
    keys = {record.key for record in records if not isinstance(record, RejectedRecord)}
    for record in records:
        match record:
            case TaskRecord():
                keys |= new_tasks.keys_named(record)
            case SectionRecord():
                keys.add(record.project)
            case FieldRecord():
                keys.update((record.project, *(key for key, _, _ in record.options)))
            case ReactionRecord():
                keys.add(record.comment)
            case RelationRecord():
                keys.update((record.task, record.other))
            case CommentRecord() | ItemRecord():
                keys.add(record.task)
    return keys
