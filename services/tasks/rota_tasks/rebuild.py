"""Rebuilds the read tables from the event log, and says how far they were from the truth.

The log is the authority. What the projections make of it is compared with the read tables, and what differs is
repaired, while the service serves (see `shadow`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.errors import Conflict
from rota_chassis.events.log import data_of

from rota_tasks.attachments import store as attachments
from rota_tasks.attachments.domain import AttachmentCreated, AttachmentDeleted, AttachmentEvent
from rota_tasks.attachments.messages import attachment_of
from rota_tasks.boards import store as boards
from rota_tasks.boards.domain import ColumnDeleted, ColumnUpdated
from rota_tasks.boards.messages import section_of, state_of
from rota_tasks.checklists import store as checklists
from rota_tasks.checklists.domain import ChecklistItemDeleted, ChecklistItemUpdated
from rota_tasks.checklists.messages import item_of
from rota_tasks.comments import store as comments
from rota_tasks.comments.domain import CommentDeleted, CommentEvent
from rota_tasks.comments.messages import comment_of
from rota_tasks.fields import store as custom_fields
from rota_tasks.fields.domain import CustomFieldDeleted, CustomFieldUpdated
from rota_tasks.fields.messages import field_of
from rota_tasks.keys import store as keys
from rota_tasks.labels import store as labels
from rota_tasks.labels.domain import LabelDeleted, LabelUpdated
from rota_tasks.labels.messages import label_of
from rota_tasks.projects import store as projects
from rota_tasks.projects.domain import ProjectDeleted, ProjectUpdated
from rota_tasks.projects.messages import project_of
from rota_tasks.reactions import domain as reaction_domain
from rota_tasks.reactions import store as reactions
from rota_tasks.reactions.messages import reaction_of
from rota_tasks.relations import domain as relation_domain
from rota_tasks.relations import store as relations
from rota_tasks.relations.messages import relation_of
from rota_tasks.saved_filters import store as saved_filters
from rota_tasks.saved_filters.domain import SavedFilterDeleted, SavedFilterUpdated
from rota_tasks.saved_filters.messages import saved_filter_of
from rota_tasks.search import documents
from rota_tasks.series import store as series
from rota_tasks.series.domain import SeriesUpdated
from rota_tasks.series.messages import series_of
from rota_tasks.shadow import Shadow
from rota_tasks.tasks import store as tasks
from rota_tasks.tasks.domain import TaskDeleted
from rota_tasks.tasks.messages import task_of
from rota_tasks.templates import store as templates
from rota_tasks.templates.domain import TemplateDeleted, TemplateUpdated
from rota_tasks.templates.messages import template_of
from rota_tasks.trash import store as trash

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.tasks.domain import Task

LOCK = 0x72656275  # "rebu"; one rebuild at a time


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did.

    Attributes:
        events: Events read.
        rows: Rows that the log gives the tables, search documents apart.
        differences: Rows that were missing, too many or different, likewise; they have been repaired.
        longest_wait_s: How long it kept writers waiting at most, at once.
    """

    events: int
    rows: int
    differences: int
    longest_wait_s: float = 0.0


async def rebuild(database: Database, projection: str | None = None) -> Rebuilt:
    """Make the read tables what the log says, while the service serves (see `shadow`).

    Args:
        database: Where; it needs one connection.
        projection: One table by its name; absent means all, and the search documents.

    Raises:
        Conflict: another rebuild runs (code REBUILD_RUNS).
        LookupError: there is no such projection.
        Unavailable: the database does not answer, or rows could not be repaired (code REBUILD_INCOMPLETE).
    """
    known = (*_TABLES, _DOCUMENTS)
    if projection not in (None, *known):
        raise LookupError(f"there is no projection {projection}; there are: {', '.join(known)}")
    rebuilt = Rebuilt(0, 0, 0)
    if projection != _DOCUMENTS:
        rebuilt = await _rebuild_tables(database, list(_TABLES) if projection is None else [projection])
    if projection in (None, _DOCUMENTS):
        await documents.rebuild(database)
    return rebuilt


async def _rebuild_tables(database: Database, names: Sequence[str]) -> Rebuilt:
    alone = _OF_ONE_AGGREGATE.get(names[0]) if len(names) == 1 else None
    # Nobody else's session afterwards: its names mean other tables.
    async with database.connection(discard=True) as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            raise Conflict("Another rebuild runs; wait until it has ended.", code="REBUILD_RUNS")
        shadow = Shadow(connection, _TABLES, _BESIDES, [alone] if alone else list(_PROJECTIONS), _replay)
        await shadow.create()
        await shadow.follow()
        repaired = await shadow.repair(names)
        rows = sum([await shadow.count(name) for name in names])
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
    return Rebuilt(shadow.events, rows, sum(repaired.values()), shadow.longest_wait_s)


async def _replay(work: UnitOfWork, rows: Sequence[Mapping[str, Any]]) -> None:
    """Let events of the log take effect, in order; tasks that are merely written, together."""
    written: list[Task] = []

    async def write() -> None:
        if written:
            await _keep_numbers(work, written)
            await tasks.save(work, written)
            written.clear()

    for row in rows:
        data = data_of(row)
        if row["aggregate"] == "task" and row["type"] not in _MOVED:
            task = task_of(data.task)
            if written and written[0].workspace_id != task.workspace_id:
                await write()
            written.append(task)
        else:
            await write()
            await _PROJECTIONS[row["aggregate"]](work, row["type"], data)
    await write()


async def _keep_numbers(work: UnitOfWork, told: Sequence[Task]) -> None:
    numbers = [
        (task.id, task.project_id, task.number)
        for task in told
        if task.project_id is not None and task.number is not None
    ]
    await keys.keep(work, workspace_id=told[0].workspace_id, told=numbers)


async def _project_attachment(work: UnitOfWork, kind: str, data: Any) -> None:
    attachment = attachment_of(data.attachment)
    event: AttachmentEvent = AttachmentCreated(attachment)
    if kind == "attachment.deleted":
        event = AttachmentDeleted(attachment, attachment.created_at)
    await attachments.project(work, event)


async def _project_section(work: UnitOfWork, kind: str, data: Any) -> None:
    event = ColumnDeleted if kind == "section.deleted" else ColumnUpdated
    await boards.project(work, event(section_of(data.section)))


async def _project_state(work: UnitOfWork, kind: str, data: Any) -> None:
    event = ColumnDeleted if kind == "state.deleted" else ColumnUpdated
    await boards.project(work, event(state_of(data.state)))


async def _project_checklist_item(work: UnitOfWork, kind: str, data: Any) -> None:
    event = ChecklistItemDeleted if kind == "checklist_item.deleted" else ChecklistItemUpdated
    await checklists.project(work, event(item_of(data.checklist_item)))


async def _project_comment(work: UnitOfWork, kind: str, data: Any) -> None:
    event = CommentDeleted if kind == "comment.deleted" else CommentEvent
    await comments.project(work, event(comment_of(data.comment)))


async def _project_custom_field(work: UnitOfWork, kind: str, data: Any) -> None:
    event = CustomFieldDeleted if kind == "custom_field.deleted" else CustomFieldUpdated
    await custom_fields.project(work, event(field_of(data.custom_field)))


async def _project_label(work: UnitOfWork, kind: str, data: Any) -> None:
    event = LabelDeleted if kind == "label.deleted" else LabelUpdated
    await labels.project(work, event(label_of(data.label)))


async def _project_project(work: UnitOfWork, kind: str, data: Any) -> None:
    event = ProjectDeleted if kind == "project.deleted" else ProjectUpdated
    await projects.project(work, event(project_of(data.project, data.members)))


async def _project_reaction(work: UnitOfWork, kind: str, data: Any) -> None:
    reaction = reaction_of(data.reaction)
    if kind == "reaction.removed":
        await reactions.project(work, reaction_domain.remove(reaction, now=reaction.created_at))
    else:
        await reactions.project(work, reaction_domain.add(reaction))


async def _project_relation(work: UnitOfWork, kind: str, data: Any) -> None:
    relation = relation_of(data.relation)
    if kind == "relation.removed":
        await relations.project(work, relation_domain.remove(relation, now=relation.created_at))
        await trash.forget_relation(work, relation)
    else:
        await relations.project(work, relation_domain.add(relation))


async def _project_saved_filter(work: UnitOfWork, kind: str, data: Any) -> None:
    event = SavedFilterDeleted if kind == "saved_filter.deleted" else SavedFilterUpdated
    await saved_filters.project(work, event(saved_filter_of(data.saved_filter)))


async def _project_series(work: UnitOfWork, _kind: str, data: Any) -> None:
    await series.project(work, SeriesUpdated(series_of(data.series)))


async def _project_template(work: UnitOfWork, kind: str, data: Any) -> None:
    event = TemplateDeleted if kind == "template.deleted" else TemplateUpdated
    await templates.project(work, event(template_of(data.template, data.project_id)))


async def _project_task(work: UnitOfWork, kind: str, data: Any) -> None:
    task = task_of(data.task)
    await _keep_numbers(work, [task])
    match kind:
        case "task.deleted" if data.HasField("root_id"):
            await trash.add(work, [TaskDeleted(task, UUID(data.root_id), UUID(data.deleted_by))])
        case "task.deleted":
            # From before there was a trash.
            await tasks.remove(work, workspace_id=task.workspace_id, task_ids=[task.id])
        case "task.restored":
            await trash.put_back(work, [task])
            for relation in await trash.relations_between_living(
                work, workspace_id=task.workspace_id, task_ids=[task.id]
            ):
                await trash.forget_relation(work, relation)
                await relations.project(work, relation_domain.add(relation))
        case "task.purged":
            await trash.remove(work, workspace_id=task.workspace_id, task_ids=[task.id])


# The read tables with their keys, those that others refer to first: each is a projection by that name.
_TABLES = {
    "projects": "workspace_id, id",
    "private_projects": "workspace_id, project_id",
    "project_members": "workspace_id, project_id, user_id",
    "project_keys": "workspace_id, key",
    "task_keys": "workspace_id, project_id, number",
    "labels": "workspace_id, id",
    "saved_filters": "workspace_id, id",
    "templates": "workspace_id, id",
    "sections": "workspace_id, id",
    "states": "workspace_id, id",
    "custom_fields": "workspace_id, id",
    "tasks": "workspace_id, id",
    "task_series": "workspace_id, id",
    "task_occurrences": "workspace_id, series_id, occurrence",
    "relations": "workspace_id, source_id, type, task_id",
    "checklist_items": "workspace_id, id",
    "comments": "workspace_id, id",
    "reactions": "workspace_id, comment_id, emoji, user_id",
    "attachments": "workspace_id, id",
    "trash": "workspace_id, id",
    "trashed_comments": "workspace_id, id",
    "trashed_relations": "workspace_id, id",
}
# What follows from the rows of those as they are, and is looked at after them.
_DOCUMENTS = "search_documents"
# What projections write although it does not come from the log, or not as it is.
_BESIDES = (_DOCUMENTS, "stale_documents", "favourites", "favourite_changes")
# Tables that events of one aggregate alone make; for any other the whole log is read.
_OF_ONE_AGGREGATE = {
    "labels": "label",
    "saved_filters": "saved_filter",
    "task_series": "task_series",
}
# Events that do more than write the task.
_MOVED = frozenset({"task.deleted", "task.restored", "task.purged"})
# By aggregate, how the tables follow its events.
_PROJECTIONS: Mapping[str, Callable[[UnitOfWork, str, Any], Awaitable[None]]] = {
    "checklist_item": _project_checklist_item,
    "attachment": _project_attachment,
    "comment": _project_comment,
    "custom_field": _project_custom_field,
    "label": _project_label,
    "project": _project_project,
    "reaction": _project_reaction,
    "relation": _project_relation,
    "saved_filter": _project_saved_filter,
    "section": _project_section,
    "state": _project_state,
    "task": _project_task,
    "task_series": _project_series,
    "template": _project_template,
}
