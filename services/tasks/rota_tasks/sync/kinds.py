"""The kinds of things that a copy holds, and how they are read: in the form in which the API gives each alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import Statement, statement
from sqlalchemy import Integer, and_, bindparam, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.attachments.messages import attachment_message
from rota_tasks.attachments.store import OF_THE_LIVING, attachment_of_row
from rota_tasks.attachments.tables import ATTACHMENTS
from rota_tasks.boards.domain import Section, State
from rota_tasks.boards.messages import section_message, state_message
from rota_tasks.boards.store import SECTIONS, STATES, column_of_row
from rota_tasks.checklists.messages import item_message
from rota_tasks.checklists.store import CHECKLIST_ITEMS, item_of_row
from rota_tasks.comments.messages import comment_message
from rota_tasks.comments.store import COMMENTS, SHOWN, comment_of_row
from rota_tasks.fields.messages import field_message
from rota_tasks.fields.store import field_of_row
from rota_tasks.fields.tables import CUSTOM_FIELDS
from rota_tasks.labels.messages import label_message
from rota_tasks.labels.store import LABELS, label_of_row
from rota_tasks.projects.access import is_of_visible, is_visible
from rota_tasks.projects.messages import project_message
from rota_tasks.projects.store import PROJECTS, project_of_row
from rota_tasks.relations.domain import RelationType
from rota_tasks.relations.messages import relation_message
from rota_tasks.relations.store import RELATIONS, relation_of_row
from rota_tasks.saved_filters.domain import SavedFilter
from rota_tasks.saved_filters.messages import saved_filter_message
from rota_tasks.saved_filters.store import IS_VISIBLE, SAVED_FILTERS
from rota_tasks.series.messages import series_message, series_of_json
from rota_tasks.series.store import SERIES
from rota_tasks.sync.domain import Change
from rota_tasks.tasks.messages import task_message
from rota_tasks.tasks.tables import TASKS, is_favourite, shown, task_of_row
from rota_tasks.templates.messages import template_message
from rota_tasks.templates.store import TEMPLATES, template_of_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from google.protobuf.message import Message
    from rota_chassis.postgres.work import Reader
    from sqlalchemy import Table

_WORKSPACE = bindparam("workspace_id", type_=PgUUID)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing.

    Attributes:
        message: The message in a row.
        among: Those of the parameter `ids` that there are.
        after: At most `limit` behind the id `after`.
        personal: Whether what is read depends on the parameter `user_id`.
    """

    message: Callable[[Mapping[str, Any]], Message]
    among: Statement
    after: Statement
    personal: bool


def _kind(
    table: Table,
    message: Callable[[Mapping[str, Any]], Message],
    *conditions: Any,
    columns: Sequence[Any] = (),
    personal: bool = False,
) -> Kind:
    rows = select(*(columns or table.c)).where(table.c.workspace_id == _WORKSPACE, *conditions)
    among = rows.where(table.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))))
    after = rows.where(table.c.id > bindparam("after", type_=PgUUID)).order_by(table.c.id)
    return Kind(message, statement(among), statement(after.limit(bindparam("limit", type_=Integer))), personal)


# Each relation has two rows; the copy has it as one of its tasks sees it.
_AS_MADE = or_(
    *(
        RELATIONS.c.type == each.value
        for each in (RelationType.BLOCKS, RelationType.DUPLICATES, RelationType.FINISHES_BEFORE)
    ),
    and_(RELATIONS.c.type == RelationType.RELATES.value, RELATIONS.c.source_id < RELATIONS.c.task_id),
)

# Those that others refer to first: the order of a first reading. The names are those of the aggregates, of the live
# channel, and of the fields of rota.tasks.v1.SyncData.
KINDS: Mapping[str, Kind] = {
    "project": _kind(
        PROJECTS, lambda row: project_message(project_of_row(row)), is_visible(PROJECTS.c.id), personal=True
    ),
    "label": _kind(LABELS, lambda row: label_message(label_of_row(row))),
    "saved_filter": _kind(
        SAVED_FILTERS, lambda row: saved_filter_message(SavedFilter(**row)), IS_VISIBLE, personal=True
    ),
    "template": _kind(
        TEMPLATES,
        lambda row: template_message(template_of_row(row)),
        is_visible(TEMPLATES.c.project_id),
        personal=True,
    ),
    "section": _kind(
        SECTIONS,
        lambda row: section_message(column_of_row(Section, row)),
        is_visible(SECTIONS.c.project_id),
        personal=True,
    ),
    "state": _kind(
        STATES, lambda row: state_message(column_of_row(State, row)), is_visible(STATES.c.project_id), personal=True
    ),
    "task_series": _kind(
        SERIES,
        lambda row: series_message(series_of_json(row["data"])),
        is_visible(cast(SERIES.c.data["template"]["project_id"].astext, PgUUID)),
        personal=True,
    ),
    "custom_field": _kind(
        CUSTOM_FIELDS,
        lambda row: field_message(field_of_row(row)),
        is_visible(CUSTOM_FIELDS.c.project_id),
        personal=True,
    ),
    "task": _kind(
        TASKS,
        lambda row: task_message(task_of_row(row)),
        is_visible(TASKS.c.project_id),
        columns=[*shown(TASKS), is_favourite(TASKS)],
        personal=True,
    ),
    "relation": _kind(
        RELATIONS,
        lambda row: relation_message(relation_of_row(row)),
        _AS_MADE,
        is_of_visible(RELATIONS.c.workspace_id, RELATIONS.c.source_id, RELATIONS.c.task_id),
        personal=True,
    ),
    "checklist_item": _kind(
        CHECKLIST_ITEMS,
        lambda row: item_message(item_of_row(row)),
        is_of_visible(CHECKLIST_ITEMS.c.workspace_id, CHECKLIST_ITEMS.c.task_id),
        personal=True,
    ),
    "attachment": _kind(
        ATTACHMENTS,
        lambda row: attachment_message(attachment_of_row(row)),
        exists().where(OF_THE_LIVING, is_visible(TASKS.c.project_id)),
        personal=True,
    ),
    "comment": _kind(
        COMMENTS,
        lambda row: comment_message(comment_of_row(row)),
        is_of_visible(COMMENTS.c.workspace_id, COMMENTS.c.task_id),
        columns=SHOWN,
        personal=True,
    ),
}


async def among(
    reader: Reader, name: str, *, workspace_id: UUID, user_id: UUID, ids: Sequence[UUID]
) -> Mapping[UUID, Change]:
    """Those of the things of a kind that are there for the user, by id."""
    kind = KINDS[name]
    more = {"user_id": user_id} if kind.personal else {}
    rows = await reader.fetch(kind.among, workspace_id=workspace_id, ids=list(ids), **more)
    return {row["id"]: _change(name, row) for row in rows}


async def after(
    reader: Reader, name: str, *, workspace_id: UUID, user_id: UUID, last: UUID, limit: int
) -> Sequence[Change]:
    """The first things of a kind behind the id `last`, at most `limit`."""
    kind = KINDS[name]
    more = {"user_id": user_id} if kind.personal else {}
    rows = await reader.fetch(kind.after, workspace_id=workspace_id, after=last, limit=limit, **more)
    return [_change(name, row) for row in rows]


def _change(name: str, row: Mapping[str, Any]) -> Change:
    # A relation has no version of its own: it is added, which makes it 1, and removed.
    return Change(name, row["id"], row.get("version", 1), KINDS[name].message(row))
