"""Full-text search in PostgreSQL, in the workspaces that the user belongs to.

Of each workspace only the newest matches are ranked, so that a word that most tasks have costs no more than a rare
one; the rest of them would be ranked alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    Double,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, TSVECTOR
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.tasks.filtering import matches
from rota_tasks.tasks.tables import TASKS, is_favourite, shown, task_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.postgres.database import Reader

    from rota_tasks.tasks.domain import Task

RANKED = 1000
"""How many matches of a workspace are ranked at most, the newest."""

START, STOP = "\x02", "\x03"
DOCUMENTS = Table(
    "search_documents",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, primary_key=True),
    Column("document", TSVECTOR, nullable=False),
)
_SIMPLE = literal("simple", Text).cast(REGCONFIG)
_OPTIONS = f"StartSel={START}, StopSel={STOP}, MaxFragments=2, MaxWords=20, MinWords=5"
_HEADLINE_OF = 20_000
_LAST_WORD = re.compile(r"(.*\s|)(\w+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Found:
    """A task that search found.

    Attributes:
        task: It.
        score: The higher, the better it matches.
        title: With the words found between START and STOP.
        description: The parts of it where they are, likewise.
    """

    task: Task
    score: float
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended."""

    score: float
    id: UUID


async def page(
    reader: Reader,
    *,
    user_id: UUID,
    words: str,
    where: Filter | None,
    workspace_id: UUID | None,
    limit: int,
    after: Place | None,
) -> Sequence[Found]:
    """The tasks that match best and that the user may see, at most `limit`, after `after`."""
    query = page_query(words, where, workspace_id, after)
    rows = await reader.fetch(statement(query), user_id=user_id, limit=limit)
    return [Found(task_of_row(row), row["score"], row["title_headline"], row["description_headline"]) for row in rows]


def page_query(words: str, where: Filter | None, workspace_id: UUID | None, after: Place | None) -> Select[Any]:
    """The query for a page; its parameters are user_id and limit."""
    asked = _asked(words)
    documents = select(DOCUMENTS).where(
        DOCUMENTS.c.workspace_id == MEMBERSHIPS.c.workspace_id, DOCUMENTS.c.document.op("@@")(asked)
    )
    if where is not None:
        of_task = (TASKS.c.workspace_id == DOCUMENTS.c.workspace_id) & (TASKS.c.id == DOCUMENTS.c.task_id)
        documents = documents.join_from(DOCUMENTS, TASKS, of_task).where(matches(where))
    newest = documents.order_by(DOCUMENTS.c.task_id.desc()).limit(RANKED).correlate(MEMBERSHIPS).lateral("newest")
    score = cast(func.ts_rank(newest.c.document, asked), Double)
    ranked = (
        select(newest.c.workspace_id, newest.c.task_id.label("id"), score.label("score"))
        .select_from(MEMBERSHIPS.join(newest, true()))
        .where(
            MEMBERSHIPS.c.user_id == bindparam("user_id"),
            ~MEMBERSHIPS.c.removed,
            true() if workspace_id is None else MEMBERSHIPS.c.workspace_id == literal(workspace_id, PgUUID),
        )
        .subquery("ranked")
    )
    page = select(ranked)
    if after is not None:
        end = tuple_(literal(after.score, Double), literal(after.id, PgUUID))
        page = page.where(tuple_(ranked.c.score, ranked.c.id) < end)
    best = page.order_by(ranked.c.score.desc(), ranked.c.id.desc()).limit(bindparam("limit", type_=Integer)).cte("best")
    rows = (
        select(TASKS, best.c.score)
        .join_from(best, TASKS, (TASKS.c.workspace_id == best.c.workspace_id) & (TASKS.c.id == best.c.id))
        .subquery("page")
    )
    return select(
        *shown(rows),
        is_favourite(rows),
        rows.c.score,
        func.ts_headline(_SIMPLE, rows.c.title, asked, _OPTIONS + ", HighlightAll=true").label("title_headline"),
        func.ts_headline(_SIMPLE, func.left(rows.c.description, _HEADLINE_OF), asked, _OPTIONS).label(
            "description_headline"
        ),
    ).order_by(rows.c.score.desc(), rows.c.id.desc())


def _asked(words: str) -> Any:
    """The words as a query: those of web searches, and the last, while it is typed, as the beginning of one."""
    typed = _LAST_WORD.fullmatch(words)
    if typed is None or typed[1].count('"') % 2 or re.search(r"\bor\s*\Z", typed[1], re.IGNORECASE):
        return func.websearch_to_tsquery(_SIMPLE, literal(words, Text))
    last = func.to_tsquery(_SIMPLE, literal(f"{typed[2]}:*", Text))
    if not typed[1].strip():
        return last
    return func.websearch_to_tsquery(_SIMPLE, literal(typed[1], Text)).op("&&")(last)
