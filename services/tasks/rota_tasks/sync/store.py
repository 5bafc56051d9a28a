"""What the event log, and the record of favourites, say has been touched; every query is scoped to one workspace.

An event touches its own aggregate, and whatever shows something of that: a task touches the counts of its parent and
the blockers of those it blocks; its deletion, all that ends with it without events of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.memberships import MEMBERSHIPS
from rota_chassis.postgres.statements import statement
from sqlalchemy import BigInteger, Integer, Text, bindparam, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.projects.access import hidden_in
from rota_tasks.projects.store import PROJECTS
from rota_tasks.sync.domain import NOTHING, Cursor, Horizon, Touch
from rota_tasks.sync.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader

_WORKSPACE, _USER = bindparam("workspace_id", type_=PgUUID), bindparam("user_id", type_=PgUUID)

# The cluster and its timeline: after a recovery to an earlier time, or a restored dump, transactions count anew.
_EPOCH = "(pg_control_system()).system_identifier || '.' || (pg_control_checkpoint()).timeline_id"
_NEWEST = select(PROJECTS.c.id).where(PROJECTS.c.workspace_id == _WORKSPACE).order_by(PROJECTS.c.id.desc()).limit(1)
_HORIZON = statement(
    select(
        literal_column(_EPOCH, Text).label("epoch"),
        literal_column("CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text)", Text).label("decided"),
        literal_column("CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text)", Text).label("end"),
        func.array(hidden_in(_WORKSPACE).scalar_subquery()).label("hidden"),
        _NEWEST.scalar_subquery().label("newest"),
    )
)


def _project_of(data: str) -> str:
    """In which project an event was, as text; null for what is in none."""
    named = [f"{data} -> '{each}' ->> 'project_id'" for each in ("task", "section", "state", "custom_field")]
    named += [f"{data} -> 'saved_filter' ->> 'project_id'", f"{data} -> 'series' -> 'template' ->> 'project_id'"]
    return f"coalesce({', '.join(named)}, {data} -> 'project' ->> 'id', nullif({data} ->> 'project_id', ''))"


# A row that is visible although its transaction is not came with a dump from another cluster: it is no news.
#
# `told` are the first events and changes of favourites from the cursor on, one of them possibly told in part; each
# touches at least itself, so that a page needs no more of them than it has places. What one touches is read in the
# order of kinds and ids, so that a page may end among them. Of what was in a project that is hidden from the user, and
# was before, not even that it happened is told; nor of what was always another's alone.
TOUCHED = statement(
    text(
        f"""
        WITH told AS (
            SELECT * FROM (
                (SELECT xid, position, aggregate, aggregate_id, aggregate_version, type, data
                FROM events
                WHERE workspace_id = :workspace_id
                    AND (xid, position) >= (CAST(CAST(:xid AS text) AS xid8), :position)
                    AND xid < pg_snapshot_xmax(pg_current_snapshot()) AND aggregate = ANY(:kinds)
                    AND (cardinality(:hidden) = 0
                        OR NOT (coalesce({_project_of("data")}, '') = ANY(:hidden)
                            OR coalesce(data ->> 'other_project_id', '') = ANY(:hidden))
                        OR EXISTS (SELECT FROM events AS before
                            WHERE before.workspace_id = :workspace_id AND before.aggregate_id = events.aggregate_id
                                AND before.aggregate_version = events.aggregate_version - 1
                                AND events.aggregate IN ('task', 'task_series', 'saved_filter')
                                AND NOT coalesce({_project_of("before.data")}, '') = ANY(:hidden)))
                    AND (aggregate <> 'saved_filter'
                        OR data -> 'saved_filter' ->> 'owner_id' = CAST(:user_id AS text)
                        OR data -> 'saved_filter' -> 'is_shared' = 'true'
                        OR EXISTS (SELECT FROM events AS before
                            WHERE before.workspace_id = :workspace_id AND before.aggregate_id = events.aggregate_id
                                AND before.aggregate_version = events.aggregate_version - 1
                                AND before.data -> 'saved_filter' -> 'is_shared' = 'true'))
                ORDER BY xid, position LIMIT :limit + 1)
                UNION ALL
                (SELECT xid, 0, 'task', task_id, 0, 'favourite', NULL
                FROM favourite_changes
                WHERE workspace_id = :workspace_id AND user_id = :user_id
                    AND xid >= CAST(CAST(:xid AS text) AS xid8) AND xid < pg_snapshot_xmax(pg_current_snapshot())
                ORDER BY xid LIMIT :limit + 1)
            ) AS first ORDER BY xid, position LIMIT :limit + 1
        )
        SELECT CAST(told.xid AS text) AS xid, told.position, touched.kind, touched.id,
            told.xid < pg_snapshot_xmin(pg_current_snapshot()) AS settled
        FROM told
        LEFT JOIN events AS earlier ON told.aggregate IN ('task', 'project')
            AND earlier.workspace_id = :workspace_id AND earlier.aggregate_id = told.aggregate_id
            AND earlier.aggregate_version = told.aggregate_version - 1
        CROSS JOIN LATERAL (
            SELECT told.data -> 'task' ->> 'parent_id' AS parent,
                earlier.data -> 'task' ->> 'parent_id' AS parent_before,
                told.aggregate = 'task' AND (
                    told.type IN ('task.deleted', 'task.restored')
                    -- What belongs to a task is seen by who sees its project.
                    OR (told.data -> 'task' ->> 'project_id' IS DISTINCT FROM earlier.data -> 'task' ->> 'project_id'
                        AND earlier.data IS NOT NULL
                        AND EXISTS (SELECT FROM private_projects WHERE workspace_id = :workspace_id))
                ) AS comes_or_goes
        ) AS of_task
        CROSS JOIN LATERAL (
            SELECT of_task.comes_or_goes OR (
                told.aggregate = 'task' AND told.data IS NOT NULL AND (
                    earlier.data IS NULL OR of_task.parent IS DISTINCT FROM of_task.parent_before
                    OR (told.data -> 'task' ->> 'status' IN ('done', 'cancelled'))
                        <> (earlier.data -> 'task' ->> 'status' IN ('done', 'cancelled'))
                )
            ) AS counts_elsewhere
        ) AS changed
        CROSS JOIN LATERAL (
            SELECT kind, id FROM (
                SELECT told.aggregate AS kind, told.aggregate_id AS id
                WHERE told.aggregate <> 'reaction'
                UNION ALL
                SELECT 'comment', CAST(told.data -> 'reaction' ->> 'comment_id' AS uuid)
                WHERE told.aggregate = 'reaction'
                UNION ALL
                SELECT 'task', CAST(told.data -> 'checklist_item' ->> 'task_id' AS uuid)
                WHERE told.aggregate = 'checklist_item'
                UNION ALL
                SELECT 'task', CAST(parent AS uuid)
                FROM unnest(ARRAY[of_task.parent, of_task.parent_before]) AS parent
                WHERE changed.counts_elsewhere AND parent IS NOT NULL
                UNION ALL
                SELECT 'task', task_id FROM relations
                WHERE changed.counts_elsewhere AND workspace_id = :workspace_id AND source_id = told.aggregate_id
                    AND type = 'blocks'
                UNION ALL
                SELECT 'comment', aggregate_id FROM events
                WHERE of_task.comes_or_goes AND workspace_id = :workspace_id AND aggregate = 'comment'
                    AND data -> 'comment' ->> 'task_id' = CAST(told.aggregate_id AS text)
                UNION ALL
                SELECT 'checklist_item', aggregate_id FROM events
                WHERE of_task.comes_or_goes AND workspace_id = :workspace_id AND aggregate = 'checklist_item'
                    AND data -> 'checklist_item' ->> 'task_id' = CAST(told.aggregate_id AS text)
                UNION ALL
                SELECT 'task', CAST(told.data -> 'attachment' ->> 'task_id' AS uuid)
                WHERE told.aggregate = 'attachment'
                UNION ALL
                SELECT 'attachment', aggregate_id FROM events
                WHERE of_task.comes_or_goes AND workspace_id = :workspace_id AND aggregate = 'attachment'
                    AND data -> 'attachment' ->> 'task_id' = CAST(told.aggregate_id AS text)
                UNION ALL
                SELECT unnest(ARRAY['relation', 'task']),
                    unnest(ARRAY[aggregate_id, CAST(data -> 'relation' ->> 'task_id' AS uuid)])
                FROM events
                WHERE of_task.comes_or_goes AND workspace_id = :workspace_id AND aggregate = 'relation'
                    AND data -> 'relation' ->> 'source_id' = CAST(told.aggregate_id AS text)
                UNION ALL
                SELECT unnest(ARRAY['relation', 'task']),
                    unnest(ARRAY[aggregate_id, CAST(data -> 'relation' ->> 'source_id' AS uuid)])
                FROM events
                WHERE of_task.comes_or_goes AND workspace_id = :workspace_id AND aggregate = 'relation'
                    AND data -> 'relation' ->> 'task_id' = CAST(told.aggregate_id AS text)
                UNION ALL
                SELECT 'task', CAST(task AS uuid)
                FROM unnest(ARRAY[
                    told.data -> 'relation' ->> 'source_id', told.data -> 'relation' ->> 'task_id'
                ]) AS task
                WHERE told.aggregate = 'relation'
                UNION ALL
                SELECT 'task', id FROM tasks
                WHERE told.type = 'label.deleted' AND workspace_id = :workspace_id
                    AND label_ids @> ARRAY[told.aggregate_id]
                UNION ALL
                SELECT 'task', id FROM tasks
                WHERE told.type = 'project.updated' AND workspace_id = :workspace_id
                    AND project_id = told.aggregate_id
                    AND told.data -> 'project' ->> 'key' IS DISTINCT FROM earlier.data -> 'project' ->> 'key'
                UNION ALL
                SELECT 'task', id FROM tasks
                WHERE told.type = 'custom_field.deleted' AND workspace_id = :workspace_id
                    AND project_id = CAST(told.data -> 'custom_field' ->> 'project_id' AS uuid)
                    AND fields -> CAST(told.aggregate_id AS text) IS NOT NULL
            ) AS each
            WHERE (told.xid, told.position, kind, id) > (CAST(CAST(:xid AS text) AS xid8), :position, :kind, :id)
            ORDER BY kind, id LIMIT :limit
        ) AS touched
        ORDER BY told.xid, told.position, touched.kind, touched.id LIMIT :limit
        """  # noqa: S608 (what is put in is written above)
    ).bindparams(
        _WORKSPACE,
        _USER,
        bindparam("xid", type_=Text),
        bindparam("position", type_=BigInteger),
        bindparam("kind", type_=Text),
        bindparam("id", type_=PgUUID),
        bindparam("hidden", type_=ARRAY(Text)),
        bindparam("kinds", [*KINDS, "reaction"], type_=ARRAY(Text)),
        bindparam("limit", type_=Integer),
    )
)
_VERSIONS = statement(
    text(
        """
        SELECT DISTINCT ON (aggregate_id) aggregate_id, aggregate_version FROM events
        WHERE workspace_id = :workspace_id AND aggregate_id = ANY(:ids)
        ORDER BY aggregate_id, aggregate_version DESC
        """
    ).bindparams(_WORKSPACE, bindparam("ids", type_=ARRAY(PgUUID)))
)
_MEMBERSHIP_VERSION = statement(
    select(MEMBERSHIPS.c.version).where(MEMBERSHIPS.c.workspace_id == _WORKSPACE, MEMBERSHIPS.c.user_id == _USER)
)


async def horizon(reader: Reader, *, workspace_id: UUID, user_id: UUID) -> Horizon:
    """Where the log stands, and which projects of a workspace are hidden from a user."""
    row = await reader.fetch_one(_HORIZON, workspace_id=workspace_id, user_id=user_id)
    if row is None:
        raise LookupError("a query without a table gave no row")
    return Horizon(row["epoch"], int(row["decided"]), int(row["end"]), row["hidden"], row["newest"] or NOTHING)


async def touched(
    reader: Reader, *, workspace_id: UUID, user_id: UUID, hidden: Sequence[UUID], after: Cursor, limit: int
) -> Sequence[Touch]:
    """What has been touched behind a cursor, in the order of transactions, at most `limit`; settled ones first."""
    rows = await reader.fetch(
        TOUCHED,
        workspace_id=workspace_id,
        user_id=user_id,
        hidden=[str(each) for each in hidden],
        xid=str(after.xid),
        position=after.position,
        kind=after.kind,
        id=after.id,
        limit=limit,
    )
    return [
        Touch(Cursor(int(row["xid"]), row["position"], row["kind"], row["id"]), settled=row["settled"]) for row in rows
    ]


async def versions(reader: Reader, *, workspace_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, int]:
    """The versions that the last events of things made."""
    rows = await reader.fetch(_VERSIONS, workspace_id=workspace_id, ids=list(ids)) if ids else []
    return {row["aggregate_id"]: row["aggregate_version"] for row in rows}


async def membership_version(reader: Reader, *, workspace_id: UUID, user_id: UUID) -> int:
    """The version of the workspace at which the user's membership last changed; 0 when it is not known."""
    version: int | None = await reader.fetch_value(_MEMBERSHIP_VERSION, workspace_id=workspace_id, user_id=user_id)
    return version or 0
