"""The tasks of boards in PostgreSQL, column by column in manual order; every query is scoped to one workspace.

The cost is a page for each column, and a count, which an index answers alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.postgres.statements import statement
from sqlalchemy import Integer, Select, Text, bindparam, column, func, literal_column, select, true, tuple_, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.boards.domain import Section, State
from rota_tasks.boards.store import OF_PROJECT, RANK
from rota_tasks.tasks.domain import Status, Task
from rota_tasks.tasks.tables import TASKS, shown, task_of_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rota_chassis.postgres.work import Reader

Key = tuple[UUID | None, Status | None]
"""Which column: that of a state or a section, of tasks of a status without a state, or of those without a section."""

_LIMIT = bindparam("limit", type_=Integer)
_IDS, _WORDS = bindparam("ids", type_=ARRAY(PgUUID)), bindparam("words", type_=ARRAY(Text))
_BARE = bindparam("bare", type_=ARRAY(Text))
_IN_STATE = (
    func.unnest(_IDS, _WORDS)
    .table_valued(column("id", PgUUID), column("status", Text), name="in_state")
    .render_derived()
)
_IN_SECTION = func.unnest(_IDS).table_valued(column("id", PgUUID), name="in_section").render_derived()
_WITHOUT = func.unnest(_BARE).table_valued(column("status", Text), name="without").render_derived()
# In the order of the indexes `tasks_board_state` and `tasks_board_section`.
_BY_STATE = (TASKS.c.state_id, TASKS.c.status, RANK, TASKS.c.id)
_BY_SECTION = (TASKS.c.section_id, RANK, TASKS.c.id)


def _part(wanted: Any, belonging: Callable[[Any], tuple[Any, ...]], order: Any, *, is_rest: bool) -> Select[Any]:
    size = select(func.count()).select_from(TASKS).where(OF_PROJECT, *belonging(wanted)).correlate(wanted)
    # With an offset it is counted once, and not for each task of the page.
    counted = select(*wanted.c, size.scalar_subquery().label("size")).offset(literal_column("0")).subquery("counted")
    after = tuple_(RANK, TASKS.c.id) > tuple_(bindparam("rank", type_=Text), bindparam("id", type_=PgUUID))
    page = (
        select(*TASKS.c, RANK.label("rank"))
        .where(OF_PROJECT, *belonging(counted), *([after] if is_rest else []))
        .order_by(*order)
        .limit(_LIMIT)
        .correlate(counted)
        .lateral("page")
    )
    return select(*page.c, counted.c.size).select_from(counted.join(page, true()))


def _in_state(wanted: Any) -> tuple[Any, ...]:
    return TASKS.c.state_id == wanted.c.id, TASKS.c.status == wanted.c.status


def _without_state(wanted: Any) -> tuple[Any, ...]:
    return TASKS.c.state_id.is_(None), TASKS.c.status == wanted.c.status


def _in_section(wanted: Any) -> tuple[Any, ...]:
    return (TASKS.c.section_id == wanted.c.id,)


def _without_section(_wanted: Any) -> tuple[Any, ...]:
    return (TASKS.c.section_id.is_(None),)


_PARTS: Mapping[type[Any], Any] = {
    State: ((_IN_STATE, _in_state, _BY_STATE), (_WITHOUT, _without_state, _BY_STATE)),
    Section: ((_IN_SECTION, _in_section, _BY_SECTION), (_WITHOUT, _without_section, _BY_SECTION)),
}


def _pages(kind: type[Any], *, is_rest: bool) -> Any:
    parts = [_part(*each, is_rest=is_rest).subquery() for each in _PARTS[kind]]
    page = union_all(*(select(part) for part in parts)).subquery("page")
    return statement(select(*shown(page), page.c.rank, page.c.size).order_by(page.c.rank, page.c.id))


FIRST = {kind: _pages(kind, is_rest=False) for kind in _PARTS}
REST = {kind: _pages(kind, is_rest=True) for kind in _PARTS}


async def pages(
    reader: Reader,
    kind: type[Any],
    keys: Sequence[Key],
    *,
    user_id: UUID,
    workspace_id: UUID,
    project_id: UUID,
    groups: Mapping[UUID, Status],
    after: tuple[str, UUID] | None,
    limit: int,
) -> Sequence[tuple[Task, str, int]]:
    """The first tasks of columns, at most `limit` of each: task, rank, and how many its column has.

    Args:
        reader: Where to look.
        kind: By what the board is made.
        keys: Which columns.
        user_id: Who asks.
        workspace_id: Of the project.
        project_id: Whose board it is.
        groups: Of each state, the status of its tasks.
        after: Behind this rank and id, if given.
        limit: How many.
    """
    ids = [column_id for column_id, _ in keys if column_id is not None]
    parameters: dict[str, Any] = {"words": [groups[each].value for each in ids]} if kind is State else {}
    # Without a section is one column, whatever it is called.
    bare = [status.value if status is not None else "" for column_id, status in keys if column_id is None]
    if after is not None:
        parameters |= {"rank": after[0], "id": after[1]}
    rows = await reader.fetch(
        (FIRST if after is None else REST)[kind],
        user_id=user_id,
        workspace_id=workspace_id,
        project_id=project_id,
        ids=ids,
        bare=bare,
        limit=limit,
        **parameters,
    )
    return [(task_of_row(row), row["rank"], row["size"]) for row in rows]
