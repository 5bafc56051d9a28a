"""Full-text search in PostgreSQL, in the workspaces that the user belongs to: first a sample, then the way it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import Column, Double, Select, column, func, select, table
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.projects.access import is_visible
from rota_tasks.search.domain import Sample
from rota_tasks.search.languages import EXACT
from rota_tasks.search.matching import page_query, sample_query
from rota_tasks.search.words import Asked
from rota_tasks.tasks.tables import TASKS, is_favourite, shown, task_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.postgres.work import Reader

    from rota_tasks.search.domain import Place
    from rota_tasks.tasks.domain import Task

START, STOP = "\x02", "\x03"
_OPTIONS = f"StartSel={START}, StopSel={STOP}, MaxFragments=2, MaxWords=20, MinWords=5"
_HEADLINE_OF = 20_000
_BEST = table(
    "best",
    Column("workspace_id", PgUUID),
    Column("id", PgUUID),
    Column("score", Double),
    column("query"),
    column("configuration"),
)
"""A page, as the query for it gives it: which tasks, and what was asked."""


def _found() -> Select[Any]:
    """What is shown of a page."""
    rows = (
        select(TASKS, _BEST.c.score, _BEST.c.query, _BEST.c.configuration)
        .join_from(_BEST, TASKS, (TASKS.c.workspace_id == _BEST.c.workspace_id) & (TASKS.c.id == _BEST.c.id))
        # Also if one was hidden since the sample was taken.
        .where(is_visible(TASKS.c.project_id))
        .subquery("page")
    )

    def marked(text: Any, options: str) -> Any:
        return func.ts_headline(rows.c.configuration, text, rows.c.query, options)

    return select(
        *shown(rows),
        is_favourite(rows),
        rows.c.score,
        marked(rows.c.title, _OPTIONS + ", HighlightAll=true").label("title_headline"),
        marked(func.left(rows.c.description, _HEADLINE_OF), _OPTIONS).label("description_headline"),
    ).order_by(rows.c.score.desc(), rows.c.id.desc())


_FOUND = statement(_found())


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


async def page(
    reader: Reader,
    *,
    user_id: UUID,
    words: str,
    where: Filter | None,
    workspace_id: UUID | None,
    limit: int,
    after: Place | None,
    configuration: str = EXACT,
) -> Sequence[Found]:
    """The tasks that match best and that the user may see, at most `limit`, after `after`.

    Args:
        reader: Where to look.
        user_id: Who asks.
        words: What for.
        where: Only what it lets through.
        workspace_id: Only in this workspace.
        limit: How many.
        after: Where the page before ended.
        configuration: Of PostgreSQL, by which words are understood; documents must be prepared for it.
    """
    asked = Asked(words, configuration)
    sampled = await reader.fetch_one(sample_query(asked, where, workspace_id), user_id=user_id)
    sample = Sample(*sampled) if sampled is not None else Sample()
    query = page_query(asked, where, workspace_id, after, sample.way, some_hidden=sample.some_hidden)
    rows = await reader.fetch(_FOUND.reading(_BEST.name, query), user_id=user_id, limit=limit)
    return [Found(task_of_row(row), row["score"], row["title_headline"], row["description_headline"]) for row in rows]
