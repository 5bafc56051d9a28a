"""Lists of tasks with a filter and an order, in PostgreSQL.

Each of the user's workspaces gives a page by an index, and the page of those is shown, so that the cost is a page for
each workspace. Tasks without a value come last, and are a query of their own: an index has them where its order does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    Column,
    Integer,
    Select,
    bindparam,
    column,
    literal,
    literal_column,
    select,
    table,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.projects.access import is_visible
from rota_tasks.tasks.filtering import matches
from rota_tasks.tasks.tables import TASKS, is_favourite, shown, task_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.filters.ast import Filter
    from rota_chassis.postgres.statements import Statement
    from rota_chassis.postgres.work import Reader

    from rota_tasks.tasks.domain import Task
    from rota_tasks.tasks.ordering import Order


_PAGE = table("page", *(Column(each.name, each.type) for each in TASKS.c), column("order_key"))
"""The page, as the query for it gives it."""
_SHOWN: dict[bool, Statement] = {
    descending: statement(
        select(*shown(_PAGE), is_favourite(_PAGE), _PAGE.c.order_key).order_by(
            *(key.desc() if descending else key.asc() for key in (_PAGE.c.order_key, _PAGE.c.id))
        )
    )
    for descending in (False, True)
}
"""What is shown of it, by whether it comes in descending order."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: the key of its last task, None without a value, and its id."""

    key: Any
    id: UUID


async def page(
    reader: Reader,
    *,
    user_id: UUID,
    limit: int,
    after: Cursor | None,
    order: Order,
    where: Filter | None,
    favourite: bool,
    workspace_id: UUID | None,
) -> Sequence[tuple[Task, Cursor]]:
    """The first tasks that the user may see, at most `limit`, after `after`, each with its place.

    Args:
        reader: Where to look.
        user_id: Who asks.
        limit: At most this many.
        after: Where the page before ended.
        order: In which order.
        where: Which tasks; None for all.
        favourite: Whether only favourites of the user.
        workspace_id: Only in this workspace, if given.
    """
    found: list[tuple[Task, Cursor]] = []
    for valued in (True, False) if order.nullable else (True,):
        if len(found) == limit or (valued and order.nullable and after is not None and after.key is None):
            continue
        rest = after if after is not None and (not order.nullable or (after.key is not None) == valued) else None
        query = page_query(order, where, workspace_id, favourite=favourite, after=rest, valued=valued)
        asked = _SHOWN[order.descending].reading(_PAGE.name, statement(query, replan=True))
        rows = await reader.fetch(asked, user_id=user_id, limit=limit - len(found))
        found += [(task_of_row(row), Cursor(row["order_key"], row["id"])) for row in rows]
    return found


def page_query(
    order: Order,
    where: Filter | None,
    workspace_id: UUID | None,
    *,
    favourite: bool = False,
    after: Cursor | None,
    valued: bool,
) -> Select[Any]:
    """The query for those of a page that have a value, or have none; its parameters are user_id and limit.

    It gives the columns of `_PAGE`.
    """
    limit = bindparam("limit", type_=Integer)
    conditions = [matches(where), is_visible(TASKS.c.project_id)]
    if favourite:
        conditions.append(is_favourite(TASKS).element)
    if order.nullable:
        conditions.append(order.key.is_not(None) if valued else order.key.is_(None))
    if valued:
        conditions += order.implied
    keys = [order.key, TASKS.c.id] if valued and order.field != "created_at" else [TASKS.c.id]
    if after is not None:
        given = [literal(after.key, order.key.type), literal(after.id, PgUUID)][-len(keys) :]
        place, end = (tuple_(*keys), tuple_(*given)) if len(keys) > 1 else (keys[0], given[0])
        conditions.append(place < end if order.descending else place > end)
    rows = (
        select(literal_column("tasks.*"), order.key.label("order_key"))
        .select_from(TASKS)
        .where(TASKS.c.workspace_id == MEMBERSHIPS.c.workspace_id, *conditions)
        .order_by(*(key.desc() if order.descending else key.asc() for key in keys))
        .limit(limit)
        .correlate(MEMBERSHIPS)
        .lateral("rows")
    )
    return (
        select(literal_column("rows.*"))
        .select_from(MEMBERSHIPS.join(rows, true()))
        .where(
            MEMBERSHIPS.c.user_id == bindparam("user_id"),
            ~MEMBERSHIPS.c.removed,
            true() if workspace_id is None else MEMBERSHIPS.c.workspace_id == literal(workspace_id, PgUUID),
        )
        .order_by(
            *(
                literal_column(f"rows.{name}").desc() if order.descending else literal_column(f"rows.{name}").asc()
                for name in ("order_key", "id")
            )
        )
        .limit(limit)
    )
