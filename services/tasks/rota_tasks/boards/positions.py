"""The manual order of the tasks of a project in PostgreSQL.

Whoever puts a task somewhere holds the board (`store.lock`), so that places are given one after another. A key between
two others is longer than both now and then; when one would become too long, the tasks around it are spread out anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import Integer, Text, bindparam, column, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.boards.domain import ROOMY, keys_between
from rota_tasks.boards.store import OF_PROJECT, RANK
from rota_tasks.tasks.tables import TASKS, own, task_of_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.tasks.domain import Task

_REACH = 32

_RANK_AT, _LIMIT = bindparam("rank", type_=Text), bindparam("limit", type_=Integer)
_IDS = bindparam("ids", type_=ARRAY(PgUUID))
_OTHERS = OF_PROJECT & (TASKS.c.id != bindparam("id", type_=PgUUID))
_RANK_OF = statement(select(RANK).where(OF_PROJECT, TASKS.c.id == bindparam("id", type_=PgUUID)))
_LAST = statement(select(RANK).where(_OTHERS).order_by(RANK.desc()).limit(1))
_NEXT = statement(select(RANK).where(_OTHERS, _RANK_AT < RANK).order_by(RANK).limit(1))
_PREVIOUS = statement(select(RANK).where(_OTHERS, _RANK_AT > RANK).order_by(RANK.desc()).limit(1))
_UP = statement(
    select(TASKS.c.id, RANK.label("rank"))
    .where(_OTHERS, _RANK_AT >= RANK)
    .order_by(RANK.desc(), TASKS.c.id.desc())
    .limit(_LIMIT)
)
_DOWN = statement(
    select(TASKS.c.id, RANK.label("rank")).where(_OTHERS, _RANK_AT <= RANK).order_by(RANK, TASKS.c.id).limit(_LIMIT)
)
_HOLD = statement(
    select(*own(TASKS)).where(OF_PROJECT, TASKS.c.id == func.any(_IDS)).order_by(TASKS.c.id).with_for_update(of=TASKS)
)
_PLACED = (
    func.unnest(_IDS, bindparam("positions", type_=ARRAY(Text)), bindparam("versions", type_=ARRAY(Integer)))
    .table_valued(column("id", PgUUID), column("position", Text), column("version", Integer), name="placed")
    .render_derived()
)
_PLACE = statement(
    update(TASKS)
    .values(
        position=_PLACED.c.position,
        version=_PLACED.c.version,
        updated_at=bindparam("now", type_=TASKS.c.updated_at.type),
    )
    .where(TASKS.c.workspace_id == bindparam("workspace", type_=PgUUID), TASKS.c.id == _PLACED.c.id)
)


async def gap(
    reader: Reader, task: Task, *, project_id: UUID, before_id: UUID | None, after_id: UUID | None
) -> tuple[str | None, str | None] | None:
    """Between which ranks a task goes that is put before or after another, or behind all.

    Returns:
        None when the other is not a task of the project.
    """
    among: dict[str, Any] = {"workspace_id": task.workspace_id, "project_id": project_id}
    neighbor_id = before_id or after_id
    if neighbor_id is None:
        return await reader.fetch_value(_LAST, **among, id=task.id), None
    rank = await reader.fetch_value(_RANK_OF, **among, id=neighbor_id)
    if rank is None:
        return None
    if before_id is not None:
        return await reader.fetch_value(_PREVIOUS, **among, id=task.id, rank=rank), rank
    return rank, await reader.fetch_value(_NEXT, **among, id=task.id, rank=rank)


async def around(
    work: UnitOfWork, task: Task, *, project_id: UUID, gap: tuple[str | None, str | None]
) -> Sequence[tuple[Task, str]]:
    """The tasks around a gap, locked until the transaction ends, each with the position that spreads them out.

    As few as give room: those next to the gap, or more when these stand close together as well. The caller holds the
    board, and the structure alone: other paths lock rows in other orders.
    """
    among: dict[str, Any] = {"workspace_id": task.workspace_id, "project_id": project_id, "id": task.id}
    lower, upper = gap
    reach = _REACH
    while True:
        up = await work.fetch(_UP, **among, rank=lower, limit=reach + 1) if lower is not None else []
        down = await work.fetch(_DOWN, **among, rank=upper, limit=reach + 1) if upper is not None else []
        first, last = (
            (up[reach]["rank"] if len(up) > reach else None),
            (down[reach]["rank"] if len(down) > reach else None),
        )
        ids = [row["id"] for row in (*reversed(up[:reach]), *down[:reach])]
        keys = keys_between(first, last, len(ids))
        if (first is None and last is None) or max(map(len, keys)) <= ROOMY:
            break
        reach *= 4
    position = dict(zip(ids, keys, strict=True))
    rows = await work.fetch(_HOLD, workspace_id=task.workspace_id, project_id=project_id, ids=ids)
    return [(task_of_row(row), position[row["id"]]) for row in rows]


async def place(work: UnitOfWork, tasks: Sequence[Task]) -> None:
    """Write the positions of locked tasks of one workspace, which changed at one time."""
    await work.execute(
        _PLACE,
        workspace=tasks[0].workspace_id,
        ids=[task.id for task in tasks],
        positions=[task.position for task in tasks],
        versions=[task.version for task in tasks],
        now=tasks[0].updated_at,
    )
