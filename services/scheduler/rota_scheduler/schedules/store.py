"""Schedules in PostgreSQL; what users ask for is scoped to the workspaces they belong to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.memberships import MEMBERSHIPS, newest_visible, visible_workspaces
from rota_chassis.postgres.statements import statement
from sqlalchemy import (
    DateTime,
    Integer,
    Text,
    and_,
    bindparam,
    column,
    delete,
    func,
    null,
    or_,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_scheduler.calendars import store as calendars
from rota_scheduler.schedules.days_off import days_left_out
from rota_scheduler.schedules.tables import FIELDS, SCHEDULES, columns_of, delayed_until, schedule_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.schedules.domain import Schedule

_ID = bindparam("id", type_=PgUUID)

_INSERT = statement(insert(SCHEDULES).values({name: bindparam(name) for name in FIELDS}))
_INSERT_NEW = statement(insert(SCHEDULES).values({name: bindparam(name) for name in FIELDS}).on_conflict_do_nothing())
_GET = statement(select(SCHEDULES).where(SCHEDULES.c.id == _ID, SCHEDULES.c.workspace_id.in_(visible_workspaces())))
_LOCK = statement(
    select(SCHEDULES, MEMBERSHIPS.c.role)
    .join_from(SCHEDULES, MEMBERSHIPS, SCHEDULES.c.workspace_id == MEMBERSHIPS.c.workspace_id)
    .where(SCHEDULES.c.id == _ID, MEMBERSHIPS.c.user_id == bindparam("user_id"), ~MEMBERSHIPS.c.removed)
    .with_for_update(of=SCHEDULES)
)
_UPDATE = statement(
    update(SCHEDULES)
    .where(SCHEDULES.c.workspace_id == bindparam("of_workspace"), SCHEDULES.c.id == bindparam("of_id"))
    .values({name: bindparam(name) for name in FIELDS if name not in {"workspace_id", "id"}})
)
_LOCK_ALONE = statement(
    select(SCHEDULES)
    .where(SCHEDULES.c.workspace_id == bindparam("workspace_id"), SCHEDULES.c.id == _ID)
    .with_for_update()
)
_KEYS = (
    func.unnest(*(bindparam(name, type_=ARRAY(PgUUID)) for name in ("workspace_ids", "ids")))
    .table_valued(column("workspace_id", PgUUID), column("id", PgUUID), name="key")
    .render_derived()
)
_LOCK_COUNTS = statement(
    select(
        SCHEDULES.c.workspace_id,
        SCHEDULES.c.id,
        SCHEDULES.c.failures_in_row,
        # It waits for the end of a run, if it has not started all of them.
        and_(SCHEDULES.c.next_fire_at.is_(None), SCHEDULES.c.spec["spec"]["anchor"].astext == "completion").label(
            "waits"
        ),
    )
    .join_from(SCHEDULES, _KEYS, and_(SCHEDULES.c.workspace_id == _KEYS.c.workspace_id, SCHEDULES.c.id == _KEYS.c.id))
    .order_by(SCHEDULES.c.workspace_id, SCHEDULES.c.id)
    .with_for_update(of=SCHEDULES)
)
_NAMED = statement(
    select(SCHEDULES)
    .where(SCHEDULES.c.workspace_id == bindparam("workspace_id"), SCHEDULES.c.name == bindparam("name"))
    .limit(2)
    .with_for_update()
)
_LOCK_NAME = statement(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("key", type_=Text), 0))))
_DELETE = statement(
    delete(SCHEDULES).where(SCHEDULES.c.workspace_id == bindparam("workspace_id"), SCHEDULES.c.id == _ID)
)

_LIST = statement(newest_visible(SCHEDULES)[1])

# Older versions know nothing of `delayed_until` and leave it empty.
_DUE_AT = func.coalesce(SCHEDULES.c.delayed_until, SCHEDULES.c.next_fire_at)
_TAKE_DUE = statement(
    select(SCHEDULES)
    .where(bindparam("now", type_=DateTime(timezone=True)) >= _DUE_AT)
    .order_by(_DUE_AT)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
)
_ADVANCE = statement(
    update(SCHEDULES)
    .where(
        SCHEDULES.c.workspace_id == bindparam("workspace_id"),
        SCHEDULES.c.id == _ID,
        SCHEDULES.c.next_fire_at.is_not_distinct_from(bindparam("cursor", type_=DateTime(timezone=True))),
    )
    .values(
        next_fire_at=bindparam("next_fire_at"),
        delayed_until=bindparam("delayed_until"),
        runs_started=bindparam("runs_started"),
    )
)
_SET_ASIDE = statement(
    update(SCHEDULES)
    .where(
        SCHEDULES.c.workspace_id == bindparam("of_workspace"),
        SCHEDULES.c.id == bindparam("of_id"),
        SCHEDULES.c.version == bindparam("of_version", type_=Integer),
        SCHEDULES.c.next_fire_at.is_not_distinct_from(bindparam("cursor", type_=DateTime(timezone=True))),
    )
    .values(
        paused=true(),
        pause_note=bindparam("note"),
        next_fire_at=null(),
        delayed_until=null(),
        updated_at=bindparam("now"),
        version=SCHEDULES.c.version + 1,
    )
    .returning(SCHEDULES)
)
_LOCK_ZONED = statement(
    select(SCHEDULES)
    .where(
        SCHEDULES.c.timezone != "UTC",
        SCHEDULES.c.next_fire_at > bindparam("ahead_of", type_=DateTime(timezone=True)),
        tuple_(SCHEDULES.c.workspace_id, SCHEDULES.c.id)
        > tuple_(bindparam("after_workspace", type_=PgUUID), bindparam("after_id", type_=PgUUID)),
    )
    .order_by(SCHEDULES.c.workspace_id, SCHEDULES.c.id)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update()
)
# In the words of the indexes `schedules_calendars` and `schedules_only_calendars`.
_KEEPS_TO = text(
    "(spec #> '{spec,exclude_calendars}' <> '[]'"
    " AND spec #> '{spec,exclude_calendars}' @> jsonb_build_array(CAST(:calendar_id AS text))"
    " OR spec #> '{spec,only_calendars}' <> '[]'"
    " AND spec #> '{spec,only_calendars}' @> jsonb_build_array(CAST(:calendar_id AS text)))"
)
_USING = statement(
    select(SCHEDULES.c.id, SCHEDULES.c.name)
    .where(SCHEDULES.c.workspace_id == bindparam("workspace_id"), _KEEPS_TO)
    .order_by(SCHEDULES.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_LOCK_USING = statement(
    select(SCHEDULES)
    .where(
        SCHEDULES.c.workspace_id == bindparam("workspace_id"),
        _KEEPS_TO,
        or_(
            SCHEDULES.c.next_fire_at.is_(None),
            SCHEDULES.c.next_fire_at > bindparam("ahead_of", type_=DateTime(timezone=True)),
        ),
        SCHEDULES.c.id > bindparam("after_id", type_=PgUUID),
    )
    .order_by(SCHEDULES.c.id)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update()
)
_NEXT = statement(select(func.min(_DUE_AT)).where(_DUE_AT.is_not(None)))


async def add(work: UnitOfWork, schedule: Schedule) -> None:
    """Write a new schedule."""
    await work.execute(_INSERT, **columns_of(schedule))


async def add_unless_there(work: UnitOfWork, schedule: Schedule) -> bool:
    """Write a schedule whose id is known beforehand; returns whether there was none."""
    return bool(await work.execute(_INSERT_NEW, **columns_of(schedule)))


async def save(work: UnitOfWork, schedule: Schedule) -> None:
    """Write a locked schedule as it is now."""
    columns = columns_of(schedule)
    workspace_id, schedule_id = columns.pop("workspace_id"), columns.pop("id")
    await work.execute(_UPDATE, of_workspace=workspace_id, of_id=schedule_id, **columns)


async def lock_alone(work: UnitOfWork, *, workspace_id: UUID, schedule_id: UUID) -> Schedule | None:
    """The schedule, locked until the transaction ends, whoever asks."""
    row = await work.fetch_one(_LOCK_ALONE, workspace_id=workspace_id, id=schedule_id)
    return None if row is None else await _whole_one(work, row)


async def lock_counts(
    work: UnitOfWork, keys: Collection[tuple[UUID, UUID]]
) -> tuple[dict[tuple[UUID, UUID], int], frozenset[tuple[UUID, UUID]]]:
    """Lock those of the schedules that exist, by (workspace, id).

    Returns:
        How many runs of each have failed in a row, and which wait for the end of a run to have a next time.
    """
    if not keys:
        return {}, frozenset()
    workspaces, ids = zip(*keys, strict=True)
    rows = await work.fetch(_LOCK_COUNTS, workspace_ids=workspaces, ids=ids)
    counts = {(row["workspace_id"], row["id"]): row["failures_in_row"] for row in rows}
    return counts, frozenset((row["workspace_id"], row["id"]) for row in rows if row["waits"])


async def lock_named(work: UnitOfWork, *, workspace_id: UUID, name: str) -> Sequence[Schedule]:
    """The schedules of a name, at most two, locked; whoever else asks for the name waits, also when there is none."""
    await work.fetch(_LOCK_NAME, key=f"schedule {workspace_id} {name}")
    return await whole(work, await work.fetch(_NAMED, workspace_id=workspace_id, name=name))


async def get(reader: Reader, *, user_id: UUID, schedule_id: UUID) -> Schedule | None:
    """The schedule, if the user may see it."""
    row = await reader.fetch_one(_GET, user_id=user_id, id=schedule_id)
    return None if row is None else await _whole_one(reader, row)


async def lock(work: UnitOfWork, *, user_id: UUID, schedule_id: UUID) -> tuple[Schedule, str] | None:
    """The schedule, locked until the transaction ends, and the user's role in its workspace."""
    row = await work.fetch_one(_LOCK, user_id=user_id, id=schedule_id)
    return None if row is None else (await _whole_one(work, row), row["role"])


async def page(
    reader: Reader, *, user_id: UUID, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Schedule]:
    """The newest schedules that the user may see, at most `limit`, older than `before`; without their days off."""
    rows = await reader.fetch(_LIST, user_id=user_id, limit=limit, before=before, workspace_id=workspace_id)
    return [schedule_of(row) for row in rows]


async def remove(work: UnitOfWork, schedule: Schedule) -> None:
    """Delete a schedule."""
    await work.execute(_DELETE, workspace_id=schedule.workspace_id, id=schedule.id)


async def take_due(work: UnitOfWork, *, now: datetime, limit: int) -> Sequence[Mapping[str, Any]]:
    """Lock at most `limit` schedules that are due and that nobody else has locked, over all workspaces; their rows."""
    return list(await work.fetch(_TAKE_DUE, now=now, limit=limit))


async def set_aside(work: UnitOfWork, row: Mapping[str, Any], *, note: str, now: datetime) -> Mapping[str, Any] | None:
    """Pause a schedule as it was taken, and let nothing come of it before it is resumed; its row as it then is."""
    return await work.fetch_one(
        _SET_ASIDE,
        of_workspace=row["workspace_id"],
        of_id=row["id"],
        of_version=row["version"],
        cursor=row["next_fire_at"],
        note=note,
        now=now,
    )


async def lock_zoned(
    work: UnitOfWork, *, ahead_of: datetime, after: tuple[UUID, UUID] | None, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Lock schedules of zones other than UTC whose next time is later than `ahead_of`, over all workspaces; their rows.

    At most `limit`, by (workspace, id), those after `after`.
    """
    workspace_id, schedule_id = after or (UUID(int=0), UUID(int=0))
    return list(
        await work.fetch(
            _LOCK_ZONED, ahead_of=ahead_of, after_workspace=workspace_id, after_id=schedule_id, limit=limit
        )
    )


async def using(reader: Reader, *, workspace_id: UUID, calendar_id: UUID, limit: int) -> Sequence[tuple[UUID, str]]:
    """The first schedules that keep to a calendar, by id, with their names."""
    rows = await reader.fetch(_USING, workspace_id=workspace_id, calendar_id=str(calendar_id), limit=limit)
    return [(row["id"], row["name"]) for row in rows]


async def lock_using(
    work: UnitOfWork, *, workspace_id: UUID, calendar_id: UUID, ahead_of: datetime, after: UUID | None, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Lock schedules that keep to a calendar and whose next time is later than `ahead_of`, or that have none.

    The rows of at most `limit`, by id, those after `after`.
    """
    return list(
        await work.fetch(
            _LOCK_USING,
            workspace_id=workspace_id,
            calendar_id=str(calendar_id),
            ahead_of=ahead_of,
            after_id=after or UUID(int=0),
            limit=limit,
        )
    )


async def advance(work: UnitOfWork, moves: Sequence[tuple[Schedule, datetime | None, int]]) -> None:
    """Move the cursors of locked schedules, each from where it is to the time given, and count the runs it started."""
    rows = []
    for schedule, next_fire_at, started in moves:
        moved = replace(schedule, next_fire_at=next_fire_at)
        rows.append(
            {
                "workspace_id": schedule.workspace_id,
                "id": schedule.id,
                "cursor": schedule.next_fire_at,
                "next_fire_at": next_fire_at,
                "delayed_until": delayed_until(moved),
                "runs_started": schedule.runs_started + started,
            }
        )
    await work.execute_many(_ADVANCE, rows)


async def next_due(reader: Reader) -> datetime | None:
    """When the next schedule fires, over all workspaces."""
    found: datetime | None = await reader.fetch_value(_NEXT)
    return found


async def _whole_one(reader: Reader, row: Mapping[str, Any]) -> Schedule:
    (schedule,) = await whole(reader, [row])
    return schedule


async def whole(reader: Reader, rows: Sequence[Mapping[str, Any]]) -> list[Schedule]:
    """The schedules in rows with their days off: one query more, if any of them keeps to a calendar."""
    schedules = [schedule_of(row) for row in rows]
    keys = {(each.workspace_id, calendar_id) for each in schedules for calendar_id in each.timing.calendar_ids}
    if not keys:
        return schedules
    found = await calendars.days_off(reader, keys)
    whole = []
    for each in schedules:
        of_workspace = {
            calendar_id: found[each.workspace_id, calendar_id]
            for calendar_id in each.timing.calendar_ids
            if (each.workspace_id, calendar_id) in found
        }
        whole.append(replace(each, days_off=days_left_out(each.timing, of_workspace)) if of_workspace else each)
    return whole
