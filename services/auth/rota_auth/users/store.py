"""Users in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_auth.users.domain import SystemRole, User

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

USERS = Table(
    "users",
    MetaData(),
    Column("id", PgUUID, primary_key=True),
    Column("workspace_id", PgUUID, nullable=False),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
)
PROFILE = tuple(column for column in USERS.c if column.name != "password_hash")

_BY_ID = select(*PROFILE).where(USERS.c.id == bindparam("id"))
_HAS_EMAIL = func.lower(USERS.c.email) == func.lower(bindparam("email", type_=Text))
_CHANGED = ("workspace_id", "name", "time_zone", "locale", "updated_at", "version")

_FIND = statement(_BY_ID)
_LOCK = statement(_BY_ID.with_for_update())
_FIND_MANY = statement(select(*PROFILE).where(USERS.c.id == func.any(bindparam("ids", type_=ARRAY(PgUUID)))))
_FIND_BY_EMAIL = statement(select(*PROFILE).where(_HAS_EMAIL))
_CREDENTIALS = statement(select(USERS).where(_HAS_EMAIL))
_ADD = statement(
    insert(USERS)
    .values({column.name: bindparam(column.name) for column in USERS.c})
    .on_conflict_do_nothing(index_elements=[func.lower(USERS.c.email)])
)
_SAVE = statement(
    update(USERS)
    .where(USERS.c.id == bindparam("user_id"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGED})
)
_REPLACE_HASH = statement(
    update(USERS)
    .where(USERS.c.id == bindparam("user_id"), USERS.c.password_hash == bindparam("old"))
    .values(password_hash=bindparam("new"))
)


async def add_user(work: UnitOfWork, user: User, password_hash: str) -> bool:
    """Insert a user; False when somebody has the e-mail address, also if they took it at this very moment."""
    row = {name: getattr(user, name) for name in (column.name for column in PROFILE)}
    return await work.execute(_ADD, **{**row, "role": user.role.value, "password_hash": password_hash}) == 1


async def find_user(reader: Reader, user_id: UUID) -> User | None:
    """A user by id."""
    row = await reader.fetch_one(_FIND, id=user_id)
    return user_of(row) if row else None


async def find_users(reader: Reader, user_ids: Sequence[UUID]) -> list[User]:
    """Those of the users that exist."""
    return [user_of(row) for row in await reader.fetch(_FIND_MANY, ids=list(user_ids))]


async def find_user_by_email(reader: Reader, email: str) -> User | None:
    """A user by e-mail address, without regard to case."""
    row = await reader.fetch_one(_FIND_BY_EMAIL, email=email)
    return user_of(row) if row else None


async def find_credentials(reader: Reader, email: str) -> tuple[User, str] | None:
    """A user by e-mail address, and the hash of their password."""
    row = await reader.fetch_one(_CREDENTIALS, email=email)
    return (user_of(row), row["password_hash"]) if row else None


async def lock_user(work: UnitOfWork, user_id: UUID) -> User | None:
    """A user by id, until the transaction ends nobody else's to change."""
    row = await work.fetch_one(_LOCK, id=user_id)
    return user_of(row) if row else None


async def save_user(work: UnitOfWork, user: User) -> None:
    """Write what of a locked user can change."""
    await work.execute(_SAVE, user_id=user.id, **{f"new_{name}": getattr(user, name) for name in _CHANGED})


async def replace_password_hash(work: UnitOfWork, user_id: UUID, *, old: str, new: str) -> None:
    """Write a better hash of the same password, unless the password has changed meanwhile."""
    await work.execute(_REPLACE_HASH, user_id=user_id, old=old, new=new)


def user_of(row: Mapping[str, Any]) -> User:
    """The user in a row with the columns of `PROFILE`."""
    return User(
        id=row["id"],
        workspace_id=row["workspace_id"],
        email=row["email"],
        name=row["name"],
        role=SystemRole(row["role"]),
        time_zone=row["time_zone"],
        locale=row["locale"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
    )
