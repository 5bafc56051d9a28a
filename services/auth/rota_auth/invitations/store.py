"""Invitations and the hashes of their tokens in SQL."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import insert

from rota_auth.invitations.domain import Invitation, State
from rota_auth.workspaces.domain import WorkspaceRole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

INVITATIONS = Table(
    "invitations",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("email", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("invited_by", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("sent_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("accepted_by", PgUUID),
    Column("version", Integer, nullable=False),
    Column("request_key", Text),
    Column("fingerprint", LargeBinary),
)
TOKENS = Table(
    "invitation_tokens",
    MetaData(),
    Column("digest", LargeBinary, primary_key=True),
    Column("workspace_id", PgUUID, nullable=False),
    Column("invitation_id", PgUUID, nullable=False),
)
_NAMES = tuple(each.name for each in fields(Invitation))
_KEY = ("workspace_id", "id")
_OF_WORKSPACE = INVITATIONS.c.workspace_id == bindparam("workspace_id", type_=PgUUID)
_NOW = bindparam("now", type_=DateTime(timezone=True))
_IS_OPEN = INVITATIONS.c.state == State.OPEN.value
_LASTS = INVITATIONS.c.expires_at > _NOW

_NEW = insert(INVITATIONS).values({column.name: bindparam(column.name) for column in INVITATIONS.c})
_SAVE = statement(
    _NEW.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: _NEW.excluded[name] for name in _NAMES if name not in _KEY}
    )
)
_FIND = statement(select(INVITATIONS).where(_OF_WORKSPACE, INVITATIONS.c.id == bindparam("id")))
_REQUESTED = statement(
    select(INVITATIONS).where(_OF_WORKSPACE, INVITATIONS.c.request_key == bindparam("request_key", type_=Text))
)
_OPEN_TO = statement(
    select(INVITATIONS).where(
        _OF_WORKSPACE, _IS_OPEN, func.lower(INVITATIONS.c.email) == func.lower(bindparam("email", type_=Text))
    )
)
_COUNT = statement(select(func.count()).where(_OF_WORKSPACE, _IS_OPEN, _LASTS))
_LIST = statement(
    select(INVITATIONS)
    .where(
        _OF_WORKSPACE,
        _IS_OPEN,
        _LASTS,
        or_(bindparam("before", type_=PgUUID).is_(None), INVITATIONS.c.id < bindparam("before", type_=PgUUID)),
    )
    .order_by(INVITATIONS.c.id.desc())
    .limit(bindparam("limit", type_=Integer))
)
_EXPIRE = statement(
    update(INVITATIONS).where(_OF_WORKSPACE, INVITATIONS.c.id == bindparam("this_id")).values(state=State.EXPIRED.value)
)
_BY_TOKEN = statement(
    select(INVITATIONS)
    .join(
        TOKENS,
        (TOKENS.c.workspace_id == INVITATIONS.c.workspace_id) & (TOKENS.c.invitation_id == INVITATIONS.c.id),
    )
    .where(TOKENS.c.digest == bindparam("digest", type_=LargeBinary))
)
_ADD_TOKEN = statement(insert(TOKENS).values({column.name: bindparam(column.name) for column in TOKENS.c}))
_VOID = statement(
    delete(TOKENS).where(
        TOKENS.c.workspace_id == bindparam("workspace_id"), TOKENS.c.invitation_id == bindparam("invitation_id")
    )
)


async def save(
    work: UnitOfWork, invitation: Invitation, *, request_key: str | None = None, fingerprint: bytes | None = None
) -> None:
    """Write an invitation, new or changed; of a new one also which call makes it."""
    row = {name: getattr(invitation, name) for name in _NAMES}
    row |= {"role": invitation.role.value, "state": invitation.state.value}
    await work.execute(_SAVE, **row, request_key=request_key, fingerprint=fingerprint)


async def requested(reader: Reader, workspace_id: UUID, request_key: str) -> tuple[Invitation, bytes] | None:
    """The invitation that a call with this key made, open or not, and the call's fingerprint."""
    row = await reader.fetch_one(_REQUESTED, workspace_id=workspace_id, request_key=request_key)
    return (_invitation(row), row["fingerprint"]) if row else None


async def find(reader: Reader, workspace_id: UUID, invitation_id: UUID) -> Invitation | None:
    """An invitation to a workspace, open or not."""
    row = await reader.fetch_one(_FIND, workspace_id=workspace_id, id=invitation_id)
    return _invitation(row) if row else None


async def open_to(reader: Reader, workspace_id: UUID, email: str) -> Invitation | None:
    """The invitation of an e-mail address that nobody has ended; it may have expired."""
    row = await reader.fetch_one(_OPEN_TO, workspace_id=workspace_id, email=email)
    return _invitation(row) if row else None


async def count_open(reader: Reader, workspace_id: UUID, *, now: datetime) -> int:
    """How many invitations to a workspace are open."""
    found: int = await reader.fetch_value(_COUNT, workspace_id=workspace_id, now=now)
    return found


async def list_open(
    reader: Reader, workspace_id: UUID, *, before: UUID | None, limit: int, now: datetime
) -> Sequence[Invitation]:
    """The newest open invitations to a workspace, at most `limit`, older than `before`."""
    rows = await reader.fetch(_LIST, workspace_id=workspace_id, before=before, limit=limit, now=now)
    return [_invitation(row) for row in rows]


async def expire(work: UnitOfWork, invitation: Invitation) -> None:
    """Write down that an invitation has expired, so that there can be another."""
    await work.execute(_EXPIRE, workspace_id=invitation.workspace_id, this_id=invitation.id)
    await void_tokens(work, invitation)


async def find_by_token(reader: Reader, digest: bytes) -> Invitation | None:
    """The invitation that a token is of, open or not."""
    row = await reader.fetch_one(_BY_TOKEN, digest=digest)
    return _invitation(row) if row else None


async def add_token(work: UnitOfWork, invitation: Invitation, digest: bytes) -> None:
    """Let another token be good for an invitation."""
    await work.execute(_ADD_TOKEN, digest=digest, workspace_id=invitation.workspace_id, invitation_id=invitation.id)


async def void_tokens(work: UnitOfWork, invitation: Invitation) -> None:
    """Let no token be good for an invitation any more."""
    await work.execute(_VOID, workspace_id=invitation.workspace_id, invitation_id=invitation.id)


def _invitation(row: Mapping[str, Any]) -> Invitation:
    values = {name: row[name] for name in _NAMES}
    return Invitation(**values | {"role": WorkspaceRole(values["role"]), "state": State(values["state"])})
