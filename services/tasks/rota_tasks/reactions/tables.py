"""The read table of reactions, and how a comment counts its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, DateTime, FromClause, MetaData, Table, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.dialects.postgresql import aggregate_order_by

REACTIONS = Table(
    "reactions",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("comment_id", PgUUID, primary_key=True),
    Column("emoji", Text, primary_key=True),
    Column("user_id", PgUUID, primary_key=True),
    Column("id", PgUUID, nullable=False),
    Column("task_id", PgUUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)


def reaction_counts(comments: FromClause) -> Any:
    """How people reacted to a comment, for a select from `comments`: [[emoji, count, whether the user did], …].

    The emoji used first comes first; null when there is none. The user is in the parameter `user_id`.
    """
    by_emoji = (
        select(
            REACTIONS.c.emoji,
            func.count().label("count"),
            func.bool_or(REACTIONS.c.user_id == bindparam("user_id", type_=PgUUID)).label("me"),
            func.min(REACTIONS.c.created_at).label("first"),
        )
        .where(REACTIONS.c.workspace_id == comments.c.workspace_id, REACTIONS.c.comment_id == comments.c.id)
        .group_by(REACTIONS.c.emoji)
        .correlate(comments)
        .subquery("by_emoji")
    )
    counted = func.jsonb_build_array(by_emoji.c.emoji, by_emoji.c.count, by_emoji.c.me)
    in_order = aggregate_order_by(counted, by_emoji.c.first, by_emoji.c.emoji)
    return select(func.jsonb_agg(in_order)).scalar_subquery().label("reactions")
