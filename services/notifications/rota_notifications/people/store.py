"""People in PostgreSQL, each in their own workspace; looked up by id, since tasks name users of any workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_notifications.people.domain import Person

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

PEOPLE = Table(
    "people",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("version", Integer, nullable=False),
)
_KEY = ("workspace_id", "id")
_FIELDS = tuple(column.name for column in PEOPLE.c)

_NEW = insert(PEOPLE).values({name: bindparam(name) for name in _FIELDS})
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={name: _NEW.excluded[name] for name in _FIELDS if name not in _KEY},
        where=PEOPLE.c.version < _NEW.excluded.version,
    )
)
# Who has another workspace of their own now is there as they were before, too.
_AMONG = statement(
    select(PEOPLE).where(PEOPLE.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID)))).order_by(PEOPLE.c.version)
)


async def save(work: UnitOfWork, people: Sequence[Person]) -> None:
    """Keep these, unless something newer is kept."""
    await work.execute_many(_SAVE, [{name: getattr(person, name) for name in _FIELDS} for person in people])


async def among(reader: Reader, user_ids: Collection[UUID]) -> dict[UUID, Person]:
    """Those of the users who are known here."""
    rows = await reader.fetch(_AMONG, ids=list(user_ids)) if user_ids else []
    return {row["id"]: Person(**row) for row in rows}
