"""The queries of a search: the sample, and a page by the way that the sample says.

Put together once for each form of words and shape of filter: that takes longer than to ask most of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rota_chassis.filters.shape import shape_of
from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    Double,
    Integer,
    MetaData,
    Select,
    Table,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal,
    literal_column,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.projects.access import HIDDEN, is_visible
from rota_tasks.search.domain import RANKED
from rota_tasks.tasks.custom import CustomName
from rota_tasks.tasks.filtering import matches
from rota_tasks.tasks.tables import TASKS

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.postgres.statements import Statement

    from rota_tasks.search.domain import Place, Way
    from rota_tasks.search.words import Asked, Form

_SAMPLE = 1_000
_KEPT = 500
DOCUMENTS = Table(
    "search_documents",
    MetaData(),
    Column("workspace_id", PgUUID, primary_key=True),
    Column("task_id", PgUUID, primary_key=True),
    Column("document", TSVECTOR, nullable=False),
)
_NEWEST = bindparam("newest", type_=Integer)
"""How many are gone through before all others, the newest."""


def sample_query(asked: Asked, where: Filter | None, workspace_id: UUID | None) -> Statement:
    """The columns of `Sample`; its parameter is user_id."""
    shape, values = _shape(where)
    within = {} if workspace_id is None else {"workspace_id": workspace_id}
    return _sample(asked.form, shape, in_one=bool(within)).given(asked.parameters | values | within)


def page_query(
    asked: Asked,
    where: Filter | None,
    workspace_id: UUID | None,
    after: Place | None,
    way: Way,
    *,
    some_hidden: bool = False,
) -> Statement:
    """A page: the ids of its tasks and of their workspaces, the score, and the query and configuration that were asked.

    Its parameters are user_id and limit.
    """
    shape, values = _shape(where)
    within = {} if workspace_id is None else {"workspace_id": workspace_id}
    place = {} if after is None else {"after_score": after.score, "after_id": after.id}
    found = _page(
        asked.form,
        shape,
        in_one=bool(within),
        is_later=bool(place),
        by_filter=way.by_filter,
        by_newest=way.newest > 0,
        some_hidden=some_hidden,
    )
    return found.given(asked.parameters | values | within | place | {"newest": way.newest})


def _shape(where: Filter | None) -> tuple[Filter | None, dict[str, Any]]:
    # Of custom fields the text of a condition depends on the values.
    return (None, {}) if where is None else shape_of(where, lambda field: isinstance(field, CustomName))


@lru_cache(_KEPT)
def _sample(form: Form, where: Filter | None, *, in_one: bool) -> Statement:
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
    matching = newest.c.document.bool_op("@@")(form.query)
    found = [func.count().filter(each) for each in (matching, passing, and_(matching, passing))]
    number = func.nullif(func.count(), 0)
    shares: list[Any] = [func.coalesce(cast(each, Double) / number, literal(0.0, Double)) for each in found]
    return statement(
        select(*shares, func.cardinality(HIDDEN) > 0)
        .select_from(MEMBERSHIPS.join(newest, true()))
        .where(*_visible(in_one=in_one))
    )


@lru_cache(_KEPT)
def _page(
    form: Form,
    where: Filter | None,
    *,
    in_one: bool,
    is_later: bool,
    by_filter: bool,
    by_newest: bool,
    some_hidden: bool,
) -> Statement:
    condition = _condition(where, some_hidden=some_hidden)
    if by_newest:
        newest = _newest_matches(form.query, condition, by_filter=by_filter)
    else:
        every = _all_matches(form.query, condition, by_filter=by_filter)
        newest = select(every).order_by(every.c.task_id.desc()).limit(RANKED).correlate(MEMBERSHIPS).lateral("newest")
    score = cast(func.ts_rank(newest.c.document, form.query), Double)
    ranked = (
        select(newest.c.workspace_id, newest.c.task_id.label("id"), score.label("score"))
        .select_from(MEMBERSHIPS.join(newest, true()))
        .where(*_visible(in_one=in_one))
        .subquery("ranked")
    )
    page = select(ranked, form.query.label("query"), form.configuration.label("configuration"))
    if is_later:
        end = tuple_(bindparam("after_score", type_=Double), bindparam("after_id", type_=PgUUID))
        page = page.where(tuple_(ranked.c.score, ranked.c.id) < end)
    page = page.order_by(ranked.c.score.desc(), ranked.c.id.desc()).limit(bindparam("limit", type_=Integer))
    return statement(page, replan=True)


def _condition(where: Filter | None, *, some_hidden: bool) -> Any:
    """What tasks must be besides matching; None for anything."""
    parts = [] if where is None else [matches(where)]
    if some_hidden:
        parts.append(is_visible(TASKS.c.project_id))
    return and_(*parts) if parts else None


def _newest_matches(asked: Any, where: Any, *, by_filter: bool) -> Any:
    """The newest matches of each workspace: among the newest, and if these have too few, among the others."""
    gone_through: Any
    if by_filter:
        # As a table of its own: no more are read than it takes, and none twice; yet the planner, which takes a walk for
        # cheaper than it is, reckons with all of them, and so rather reads what an index has for the filter.
        gone_through = _newest(_passing(where)).cte("gone_through").prefix_with("MATERIALIZED")
        # The offset makes it one by one, so that no more are looked up than it takes.
        document = (
            select(DOCUMENTS.c.document)
            .where(_same(gone_through, DOCUMENTS))
            .offset(literal_column("0"))
            .correlate(gone_through)
            .lateral("looked_up")
        )
        found = select(gone_through, document).join_from(gone_through, document, true())
        # In the order of the table, which one by one keeps. PostgreSQL before 17 does not know that the table has it:
        # asked for it, it would go through all and sort.
        found = found.where(func.ts_match_vq(document.c.document, asked))
        ids = select(gone_through.c.task_id).order_by(gone_through.c.task_id.desc())
    else:
        gone_through = _newest(_documents()).subquery("gone_through")
        found = select(gone_through).where(gone_through.c.document.bool_op("@@")(asked))
        found = found.where(_let_through(where, gone_through)).order_by(gone_through.c.task_id.desc())
        ids = _documents().with_only_columns(DOCUMENTS.c.task_id).order_by(DOCUMENTS.c.task_id.desc())
    among = found.limit(RANKED).correlate(MEMBERSHIPS).cte("among")
    # The last that was gone through, unless that was all.
    last = ids.offset(_NEWEST - literal_column("1")).limit(1).correlate(MEMBERSHIPS).cte("last")
    of_last = select(last.c.task_id).scalar_subquery()
    needed = and_(select(func.count()).select_from(among).scalar_subquery() < RANKED, of_last.is_not(None))
    others = _all_matches(asked, where, among, last, by_filter=by_filter, needed=needed, before=of_last)
    newest = select(others).order_by(others.c.task_id.desc()).limit(RANKED).correlate(MEMBERSHIPS, among, last)
    both = union_all(select(among), select(newest.subquery("others")))
    for each in (gone_through, among, last) if by_filter else (among, last):
        both = both.add_cte(each, nest_here=True)
    every = both.subquery("both")
    return select(every).order_by(every.c.task_id.desc()).limit(RANKED).correlate(MEMBERSHIPS).lateral("newest")


def _newest(candidates: Select[Any]) -> Select[Any]:
    newest = candidates.order_by(candidates.selected_columns.task_id.desc())
    return newest.limit(_NEWEST).correlate(MEMBERSHIPS)


def _all_matches(asked: Any, where: Any, *outer: Any, by_filter: bool, needed: Any = None, before: Any = None) -> Any:
    """Every match; if `needed` is given, only then, and those before a task."""
    # As a function it is not looked up in the index.
    document = DOCUMENTS.c.document
    matching = func.ts_match_vq(document, asked) if by_filter else document.bool_op("@@")(asked)
    found = _documents().where(matching)
    if where is not None:
        of_task = (TASKS.c.workspace_id == DOCUMENTS.c.workspace_id) & (TASKS.c.id == DOCUMENTS.c.task_id)
        found = found.join_from(DOCUMENTS, TASKS, of_task).where(where)
    if needed is not None:
        # Not as a comparison, for which the index of ids would be read, from one end to the other.
        found = found.where(needed, (DOCUMENTS.c.task_id < before).is_(True))
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


def _visible(*, in_one: bool) -> tuple[Any, ...]:
    return (
        MEMBERSHIPS.c.user_id == bindparam("user_id"),
        ~MEMBERSHIPS.c.removed,
        MEMBERSHIPS.c.workspace_id == bindparam("workspace_id", type_=PgUUID) if in_one else true(),
    )
