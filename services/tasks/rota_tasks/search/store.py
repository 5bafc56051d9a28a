"""Full-text search in PostgreSQL, in the workspaces that the user belongs to: first a sample, then the way it says."""

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
    and_,
    bindparam,
    cast,
    column,
    exists,
    func,
    literal,
    literal_column,
    select,
    table,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, TSVECTOR
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.projects.access import HIDDEN, is_visible
from rota_tasks.search.domain import RANKED, Sample
from rota_tasks.search.languages import EXACT
from rota_tasks.tasks.filtering import matches
from rota_tasks.tasks.tables import TASKS, is_favourite, shown, task_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.postgres.database import Reader

    from rota_tasks.search.domain import Way
    from rota_tasks.tasks.domain import Task

_SAMPLE = 1_000
START, STOP = "\x02", "\x03"
DOCUMENTS = Table(
    "search_documents",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, primary_key=True),
    Column("document", TSVECTOR, nullable=False),
)


def _configuration(name: str) -> Any:
    """As a constant, so that the planner knows what is asked."""
    return literal_column(f"'pg_catalog.{name}'::regconfig", REGCONFIG)


_SIMPLE = _configuration(EXACT)
_OPTIONS = f"StartSel={START}, StopSel={STOP}, MaxFragments=2, MaxWords=20, MinWords=5"
_HEADLINE_OF = 20_000
_LAST_WORD = re.compile(r"(.*\s|)(\w+)", re.DOTALL)


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


class Asked:
    """Words that are searched.

    Attributes:
        configuration: Of PostgreSQL, by which they are understood.
        query: Them as a query: those of web searches, and the last, while it is typed, as the beginning of one.
    """

    def __init__(self, words: str, configuration: str = EXACT) -> None:
        self.configuration = _SIMPLE if configuration == EXACT else _configuration(configuration)
        self.query = self._query(words)

    def _query(self, words: str) -> Any:
        typed = _LAST_WORD.fullmatch(words)
        if typed is None or typed[1].count('"') % 2 or re.search(r"\bor\s*\Z", typed[1], re.IGNORECASE):
            return func.websearch_to_tsquery(self.configuration, literal(words, Text))
        beginning = literal(f"{typed[2]}:*", Text)
        last: Any = func.to_tsquery(_SIMPLE, beginning)
        if self.configuration is not _SIMPLE:
            last = last.op("||")(func.to_tsquery(self.configuration, beginning))
        if not typed[1].strip():
            return last
        return func.websearch_to_tsquery(self.configuration, literal(typed[1], Text)).op("&&")(last)


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
    sampled = await reader.fetch_one(statement(sample_query(asked, where, workspace_id)), user_id=user_id)
    sample = Sample(*sampled) if sampled is not None else Sample()
    query = page_query(asked, where, workspace_id, after, sample.way, some_hidden=sample.some_hidden)
    found = _FOUND.reading(_BEST.name, statement(query, replan=True))
    rows = await reader.fetch(found, user_id=user_id, limit=limit)
    return [Found(task_of_row(row), row["score"], row["title_headline"], row["description_headline"]) for row in rows]


def sample_query(asked: Asked, where: Filter | None, workspace_id: UUID | None) -> Select[Any]:
    """The columns of `Sample`; its parameter is user_id."""
    # Both in the order of ids, rather than a task looked up for each document.
    documents = (
        _documents().order_by(DOCUMENTS.c.task_id.desc()).limit(_SAMPLE).correlate(MEMBERSHIPS).subquery("documents")
    )
    tasks = (
        select(TASKS.c.id, _condition(where, some_hidden=True).label("passing"))
        .where(TASKS.c.workspace_id == MEMBERSHIPS.c.workspace_id)
        .order_by(TASKS.c.id.desc())
        .limit(_SAMPLE)
        .correlate(MEMBERSHIPS)
        .subquery("of_documents")
    )
    newest = (
        select(documents.c.document, tasks.c.passing)
        .select_from(documents.outerjoin(tasks, tasks.c.id == documents.c.task_id))
        .correlate(MEMBERSHIPS)
        .lateral("newest")
    )
    passing = newest.c.passing
    matching = newest.c.document.bool_op("@@")(asked.query)
    found = [func.count().filter(each) for each in (matching, passing, and_(matching, passing))]
    number = func.nullif(func.count(), 0)
    shares: list[Any] = [func.coalesce(cast(each, Double) / number, literal(0.0, Double)) for each in found]
    return (
        select(*shares, func.cardinality(HIDDEN) > 0)
        .select_from(MEMBERSHIPS.join(newest, true()))
        .where(*_visible(workspace_id))
    )


def page_query(
    asked: Asked,
    where: Filter | None,
    workspace_id: UUID | None,
    after: Place | None,
    way: Way,
    *,
    some_hidden: bool = False,
) -> Select[Any]:
    """The query for a page, as `_BEST`; its parameters are user_id and limit."""
    query = asked.query
    newest = _newest_matches(query, _condition(where, some_hidden=some_hidden), way)
    score = cast(func.ts_rank(newest.c.document, query), Double)
    ranked = (
        select(newest.c.workspace_id, newest.c.task_id.label("id"), score.label("score"))
        .select_from(MEMBERSHIPS.join(newest, true()))
        .where(*_visible(workspace_id))
        .subquery("ranked")
    )
    page = select(ranked, query.label("query"), asked.configuration.label("configuration"))
    if after is not None:
        end = tuple_(literal(after.score, Double), literal(after.id, PgUUID))
        page = page.where(tuple_(ranked.c.score, ranked.c.id) < end)
    return page.order_by(ranked.c.score.desc(), ranked.c.id.desc()).limit(bindparam("limit", type_=Integer))


def _condition(where: Filter | None, *, some_hidden: bool) -> Any:
    """What tasks must be besides matching; None for anything."""
    parts = [] if where is None else [matches(where)]
    if some_hidden:
        parts.append(is_visible(TASKS.c.project_id))
    return and_(*parts) if parts else None


def _newest_matches(asked: Any, where: Any, way: Way) -> Any:
    """The newest matches of each workspace: among the newest, and if these have too few, among the others."""
    if not way.newest:
        others = _all_matches(asked, where, way)
        return select(others).order_by(others.c.task_id.desc()).limit(RANKED).correlate(MEMBERSHIPS).lateral("newest")
    candidates = _passing(where) if way.by_filter else _documents()
    newest = candidates.order_by(candidates.selected_columns.task_id.desc())
    gone_through = newest.limit(way.newest).correlate(MEMBERSHIPS).subquery("gone_through")
    if way.by_filter:
        # The offset makes it one by one, so that no more are looked up than it takes.
        document = (
            select(DOCUMENTS.c.document)
            .where(_same(gone_through, DOCUMENTS))
            .offset(literal_column("0"))
            .correlate(gone_through)
            .lateral("looked_up")
        )
        found = select(gone_through, document).join_from(gone_through, document, true())
        found = found.where(func.ts_match_vq(document.c.document, asked))
    else:
        found = select(gone_through).where(gone_through.c.document.bool_op("@@")(asked))
        found = found.where(_let_through(where, gone_through))
    among = (
        found.order_by(gone_through.c.task_id.desc()).limit(RANKED).correlate(MEMBERSHIPS).cte("among", nesting=True)
    )
    # The newest of those that were not gone through, if there are more.
    rest = (
        newest.with_only_columns(candidates.selected_columns.task_id)
        .offset(way.newest)
        .limit(1)
        .correlate(MEMBERSHIPS)
        .cte("rest", nesting=True)
    )
    newest_left = select(rest.c.task_id).scalar_subquery()
    needed = and_(select(func.count()).select_from(among).scalar_subquery() < RANKED, newest_left.is_not(None))
    others = _all_matches(asked, where, way, needed, newest_left, among, rest)
    last = select(others).order_by(others.c.task_id.desc()).limit(RANKED).correlate(MEMBERSHIPS, among, rest)
    both = union_all(select(among), select(last.subquery("others"))).subquery("both")
    return select(both).order_by(both.c.task_id.desc()).limit(RANKED).correlate(MEMBERSHIPS).lateral("newest")


def _all_matches(asked: Any, where: Any, way: Way, needed: Any = None, rest: Any = None, *outer: Any) -> Any:
    """Every match, when `needed`, from the task `rest` on to the oldest; neither given means all."""
    # As a function it is not looked up in the index.
    document = DOCUMENTS.c.document
    matching = func.ts_match_vq(document, asked) if way.by_filter else document.bool_op("@@")(asked)
    found = _documents().where(matching)
    if where is not None:
        of_task = (TASKS.c.workspace_id == DOCUMENTS.c.workspace_id) & (TASKS.c.id == DOCUMENTS.c.task_id)
        found = found.join_from(DOCUMENTS, TASKS, of_task).where(where)
    if needed is not None:
        # Not as a comparison, for which the index of ids would be read, from one end to the other.
        found = found.where(needed, (DOCUMENTS.c.task_id <= rest).is_(True))
    # An offset keeps the order out of it: else it would look as if going through all of them found enough soon.
    return found.offset(literal_column("0")).correlate(MEMBERSHIPS, *outer).subquery("unordered")


def _documents() -> Select[Any]:
    return select(DOCUMENTS).where(DOCUMENTS.c.workspace_id == MEMBERSHIPS.c.workspace_id)


def _passing(where: Any) -> Select[Any]:
    """The tasks of a workspace that the filter lets through, as documents have their keys."""
    tasks = select(TASKS.c.workspace_id, TASKS.c.id.label("task_id")).where(
        TASKS.c.workspace_id == MEMBERSHIPS.c.workspace_id
    )
    return tasks if where is None else tasks.where(where)


def _same(keys: Any, documents: Any) -> Any:
    return (documents.c.workspace_id == keys.c.workspace_id) & (documents.c.task_id == keys.c.task_id)


def _let_through(where: Any, documents: Any) -> Any:
    if where is None:
        return true()
    of_task = (TASKS.c.workspace_id == documents.c.workspace_id) & (TASKS.c.id == documents.c.task_id)
    return exists().where(of_task, where).correlate(documents, MEMBERSHIPS)


def _visible(workspace_id: UUID | None) -> tuple[Any, ...]:
    return (
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
        true() if workspace_id is None else MEMBERSHIPS.c.workspace_id == literal(workspace_id, PgUUID),
    )
