"""Reactions in PostgreSQL. They go with the row of their comment; what they were is in the event log.

Every query is scoped to one comment of a workspace, which the caller has found to be visible to whoever asks, or to
the workspaces that the caller belongs to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.events.log import DATA, EVENTS, data_of
from rota_chassis.memberships import MEMBERSHIPS, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import Integer, Text, and_, bindparam, delete, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.comments.store import COMMENTS
from rota_tasks.projects.access import is_visible, role_in
from rota_tasks.reactions.domain import Reaction, ReactionEvent, ReactionRemoved
from rota_tasks.reactions.messages import reaction_of
from rota_tasks.reactions.tables import REACTIONS
from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

_FIELDS = tuple(column.name for column in REACTIONS.c)
_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_OF_COMMENT = and_(
    REACTIONS.c.workspace_id == _WORKSPACE, REACTIONS.c.comment_id == bindparam("comment_id", type_=PgUUID)
)

_OF_TASK = and_(TASKS.c.workspace_id == COMMENTS.c.workspace_id, TASKS.c.id == COMMENTS.c.task_id)
_WORKSPACE_OF = statement(
    select(COMMENTS.c.workspace_id)
    .join_from(COMMENTS, TASKS, _OF_TASK)
    .where(
        COMMENTS.c.id == bindparam("comment_id", type_=PgUUID),
        COMMENTS.c.workspace_id.in_(visible_workspaces()),
        is_visible(TASKS.c.project_id),
    )
)
_LOCK_COMMENT = statement(
    select(COMMENTS.c.workspace_id, COMMENTS.c.task_id, TASKS.c.project_id, role_in(TASKS.c.project_id))
    .join_from(COMMENTS, MEMBERSHIPS, COMMENTS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .join(TASKS, _OF_TASK)
    .where(
        COMMENTS.c.id == bindparam("comment_id", type_=PgUUID),
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
    )
    .with_for_update(of=COMMENTS)
)
_GET = statement(
    select(REACTIONS).where(
        _OF_COMMENT, REACTIONS.c.emoji == bindparam("emoji", type_=Text), REACTIONS.c.user_id == bindparam("user_id")
    )
)
_EMOJI = statement(select(REACTIONS.c.emoji).where(_OF_COMMENT).distinct())
_AFTER = bindparam("after", type_=PgUUID)
_PAGE = statement(
    select(REACTIONS)
    .where(_OF_COMMENT, or_(_AFTER.is_(None), REACTIONS.c.id > _AFTER))
    .order_by(REACTIONS.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_ADD = statement(insert(REACTIONS).values({name: bindparam(name) for name in _FIELDS}).on_conflict_do_nothing())
_REMOVE = statement(
    delete(REACTIONS).where(
        REACTIONS.c.workspace_id == _WORKSPACE,
        REACTIONS.c.comment_id == bindparam("comment_id", type_=PgUUID),
        REACTIONS.c.id == bindparam("id", type_=PgUUID),
    )
)
_LAST_EVENTS = statement(
    select(*DATA)
    .where(
        EVENTS.c.workspace_id == _WORKSPACE,
        EVENTS.c.aggregate == literal_column("'reaction'"),
        EVENTS.c.data.op("->")("reaction").op("->>")("comment_id") == func.any(bindparam("texts", type_=ARRAY(Text))),
    )
    .ext(distinct_on(EVENTS.c.aggregate_id))
    .order_by(EVENTS.c.aggregate_id, EVENTS.c.aggregate_version.desc())
)


async def workspace_of(reader: Reader, *, user_id: UUID, comment_id: UUID) -> UUID | None:
    """The workspace of a comment, if the user may see it."""
    workspace_id: UUID | None = await reader.fetch_value(_WORKSPACE_OF, user_id=user_id, comment_id=comment_id)
    return workspace_id


async def lock_comment(
    work: UnitOfWork, *, user_id: UUID, comment_id: UUID
) -> tuple[UUID, UUID, UUID | None, str] | None:
    """Lock a comment until the transaction ends: its workspace, task and project, and the user's role there."""
    row = await work.fetch_one(_LOCK_COMMENT, user_id=user_id, comment_id=comment_id)
    if row is None or row["role"] is None:
        return None
    return row["workspace_id"], row["task_id"], row["project_id"], row["role"]


async def get(reader: Reader, *, workspace_id: UUID, comment_id: UUID, emoji: str, user_id: UUID) -> Reaction | None:
    """The user's reaction with this emoji."""
    row = await reader.fetch_one(_GET, workspace_id=workspace_id, comment_id=comment_id, emoji=emoji, user_id=user_id)
    return None if row is None else reaction_of_row(row)


async def emoji_on(reader: Reader, *, workspace_id: UUID, comment_id: UUID) -> frozenset[str]:
    """The different emoji that a comment has."""
    rows = await reader.fetch(_EMOJI, workspace_id=workspace_id, comment_id=comment_id)
    return frozenset(row["emoji"] for row in rows)


async def page(
    reader: Reader, *, workspace_id: UUID, comment_id: UUID, limit: int, after: UUID | None
) -> Sequence[Reaction]:
    """The oldest reactions to a comment, at most `limit`, younger than `after`."""
    rows = await reader.fetch(_PAGE, workspace_id=workspace_id, comment_id=comment_id, limit=limit, after=after)
    return [reaction_of_row(row) for row in rows]


async def project(work: UnitOfWork, event: ReactionEvent) -> None:
    """Bring the read table up to date with an event; the rebuild uses the same function."""
    reaction = event.reaction
    if isinstance(event, ReactionRemoved):
        await work.execute(_REMOVE, workspace_id=reaction.workspace_id, comment_id=reaction.comment_id, id=reaction.id)
    else:
        await work.execute(_ADD, **_row(reaction))


async def put_back(work: UnitOfWork, *, workspace_id: UUID, comment_ids: Sequence[UUID]) -> None:
    """Bring back the reactions that comments had when their task was deleted: until it is back, none changes."""
    rows = await work.fetch(_LAST_EVENTS, workspace_id=workspace_id, texts=[str(each) for each in comment_ids])
    living = [row for row in rows if row["type"] != "reaction.removed"]
    found = [reaction_of(data_of(row).reaction) for row in living]
    await work.execute_many(_ADD, [_row(reaction) for reaction in found])


def _row(reaction: Reaction) -> dict[str, Any]:
    return {name: getattr(reaction, name) for name in _FIELDS}


def reaction_of_row(row: Mapping[str, Any]) -> Reaction:
    """The reaction in a row of the table."""
    return Reaction(**{name: row[name] for name in _FIELDS})
