"""Custom fields in PostgreSQL; every query is scoped to one workspace, or to those that the caller belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.memberships import visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.fields.domain import CustomField, CustomFieldDeleted, CustomFieldEvent, FieldType, Option
from rota_tasks.fields.tables import CUSTOM_FIELDS
from rota_tasks.projects.access import is_visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_chassis.postgres.work import Reader, UnitOfWork

_NAMES = tuple(column.name for column in CUSTOM_FIELDS.c)
_KEY = ("workspace_id", "id")
_OF_PROJECT = (
    select(CUSTOM_FIELDS)
    .where(
        CUSTOM_FIELDS.c.workspace_id == bindparam("workspace_id", type_=PgUUID),
        CUSTOM_FIELDS.c.project_id == bindparam("project_id", type_=PgUUID),
    )
    .order_by(CUSTOM_FIELDS.c.position, CUSTOM_FIELDS.c.id)
)
_LIST = statement(_OF_PROJECT)
_HOLD = statement(_OF_PROJECT.with_for_update(read=True))
_VISIBLE = statement(
    select(CUSTOM_FIELDS).where(
        CUSTOM_FIELDS.c.workspace_id.in_(visible_workspaces()),
        CUSTOM_FIELDS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID))),
        is_visible(CUSTOM_FIELDS.c.project_id),
    )
)
_NEW = insert(CUSTOM_FIELDS).values(
    {column.name: bindparam(column.name, type_=column.type) for column in CUSTOM_FIELDS.c}
)
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: _NEW.excluded[name] for name in _NAMES if name not in _KEY}
    )
)
_DELETE = statement(
    delete(CUSTOM_FIELDS).where(
        CUSTOM_FIELDS.c.workspace_id == bindparam("workspace_id", type_=PgUUID),
        CUSTOM_FIELDS.c.id == bindparam("id", type_=PgUUID),
    )
)


async def fields_of(reader: Reader, *, workspace_id: UUID, project_id: UUID) -> Sequence[CustomField]:
    """The fields of a project in their order."""
    return [field_of_row(row) for row in await reader.fetch(_LIST, workspace_id=workspace_id, project_id=project_id)]


async def hold(work: UnitOfWork, *, workspace_id: UUID, project_id: UUID) -> Sequence[CustomField]:
    """The fields of a project, which cannot change until the transaction ends."""
    return [field_of_row(row) for row in await work.fetch(_HOLD, workspace_id=workspace_id, project_id=project_id)]


async def visible(reader: Reader, *, user_id: UUID, field_ids: Sequence[UUID]) -> Sequence[CustomField]:
    """Those of the fields that the user may see."""
    return [field_of_row(row) for row in await reader.fetch(_VISIBLE, user_id=user_id, ids=list(field_ids))]


async def project(work: UnitOfWork, event: CustomFieldEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function."""
    field = event.field
    if isinstance(event, CustomFieldDeleted):
        await work.execute(_DELETE, workspace_id=field.workspace_id, id=field.id)
        return
    values = {name: getattr(field, name) for name in _NAMES}
    options = [{"id": str(each.id), "name": each.name, "color": each.color} for each in field.options]
    await work.execute(_SAVE, **values | {"type": field.type.value, "options": options})


def field_of_row(row: Mapping[str, Any]) -> CustomField:
    """The field in a row of the read table."""
    options = tuple(Option(UUID(each["id"]), each["name"], each["color"]) for each in row["options"])
    return CustomField(**{name: row[name] for name in _NAMES} | {"type": FieldType(row["type"]), "options": options})
