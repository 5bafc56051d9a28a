"""Fills a tasks database with one large workspace, in a few statements.

Tasks as a company has them after some years: three in five done, one in twenty a part of another, one project of a
hundred large, a label on one in four, some of them rare, some words in all and others in one. One project in ten is
private; half of these are hidden from the first user, who reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from rota_chassis.ids import uuid7

if TYPE_CHECKING:
    import asyncpg

PROJECTS, LABELS, USERS, TRASHED = 100, 22, 50, 2_000
PRIVATE, HIDDEN = 10, 5

_FUNCTIONS = (
    """
    CREATE FUNCTION pg_temp.id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
        $$ SELECT ('01900000' || lpad(to_hex(n), 24, '0'))::uuid $$
    """,
    # A number below m, as good as drawn, another for each n and salt, and the same in each run.
    """
    CREATE FUNCTION pg_temp.any(n bigint, salt bigint, m bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
        $$ SELECT ((hashint8extended(n, salt) >> 8) & 1099511627775) % m $$
    """,
)
_INDEXES = """
SELECT i.indexrelid::regclass AS name, pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i
WHERE i.indrelid = ANY(ARRAY['tasks', 'search_documents', 'events']::regclass[])
    AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""
_TASKS = """
INSERT INTO tasks (workspace_id, id, project_id, title, description, status, priority, due_at, start_at, deadline_at,
    due, start, assignee_ids, label_ids, watcher_ids, created_by, created_at, updated_at, completed_at, completed_by,
    estimate_s, progress, category, parent_id, section_id, number, version)
SELECT $1, pg_temp.id(n),
    CASE WHEN place = 0 THEN ($2::uuid[])[1] WHEN place < 7 THEN ($2::uuid[])[1 + pg_temp.any(n, 2, {PROJECTS})] END,
    (ARRAY['Prepare', 'Review', 'Order'])[1 + pg_temp.any(n, 3, 3)] || ' '
        || (ARRAY['report', 'basil', 'offer', 'garden', 'server', 'contract', 'invoice'])[1 + pg_temp.any(n, 4, 7)]
        || ' ' || n,
    'As told in the meeting: ' || md5(n::text) || ' with what comes along, see number ' || pg_temp.any(n, 5, 5000),
    status, (ARRAY['none', 'low', 'medium', 'high', 'urgent'])[1 + pg_temp.any(n, 6, 5)],
    due, due - interval '3 days', due + interval '7 days', due, due - interval '3 days',
    CASE WHEN pg_temp.any(n, 7, 3) = 0 THEN ARRAY[($4::uuid[])[1 + pg_temp.any(n, 8, {USERS})]] ELSE '{{}}' END,
    -- The first label on one task in eight, the second on one in sixteen, and so on.
    CASE WHEN pg_temp.any(n, 9, 4) = 0
        THEN ARRAY[($3::uuid[])[1 - floor(ln((1 + pg_temp.any(n, 10, 1048576)) / 1048576.0) / ln(2.0))::int]]
        ELSE '{{}}' END,
    CASE WHEN pg_temp.any(n, 18, 30) = 0 THEN ARRAY[($4::uuid[])[1 + pg_temp.any(n, 19, {USERS})]] ELSE '{{}}' END,
    ($4::uuid[])[1 + pg_temp.any(n, 11, {USERS})], now() - ($5::bigint - n) * interval '1 minute',
    now() - pg_temp.any(n, 12, $5) * interval '1 minute',
    CASE WHEN status = 'done' THEN now() END, CASE WHEN status = 'done' THEN ($4::uuid[])[1] END,
    CASE WHEN pg_temp.any(n, 13, 6) = 0 THEN pg_temp.any(n, 14, 9) * 600 END, 0, '',
    CASE WHEN n % 100 = 0 THEN pg_temp.id(1) WHEN n % 20 = 0 THEN pg_temp.id(n - 3) END,
    CASE WHEN place = 0 AND n % 2 = 0 THEN $6::uuid END, CASE WHEN place < 7 THEN n END, 1
FROM (
    SELECT n, pg_temp.any(n, 1, 10) AS place,
        (ARRAY['done', 'done', 'done', 'done', 'done', 'done', 'todo', 'todo', 'in_progress', 'cancelled'])
            [1 + pg_temp.any(n, 15, 10)] AS status,
        CASE WHEN pg_temp.any(n, 16, 2) = 0 THEN now() + (pg_temp.any(n, 17, 2000) - 1500) * interval '1 hour' END
            AS due
    FROM generate_series(1, $5::bigint) n
) made
"""
_KEYS = """
INSERT INTO task_keys (workspace_id, project_id, number, task_id)
SELECT workspace_id, project_id, number, id FROM tasks WHERE workspace_id = $1 AND number IS NOT NULL
"""
_DOCUMENTS = """
INSERT INTO search_documents SELECT workspace_id, id,
    setweight(to_tsvector('simple', title), 'A') || setweight(to_tsvector('simple', description), 'C')
FROM tasks WHERE workspace_id = $1
"""
_TASK = """
jsonb_build_object('task', jsonb_build_object('id', {id}, 'workspace_id', workspace_id, 'title', 'Prepare',
    'status', 'todo', 'priority', 'none', 'created_by', {by}, 'created_at', {at}, 'updated_at', {at}, 'version', 1))
"""
_EVENTS = f"""
INSERT INTO events
    (workspace_id, id, aggregate, aggregate_id, aggregate_version, type, schema_version, data, actor, time)
SELECT workspace_id, gen_random_uuid(), 'task', id, 1, 'task.created', 1,
    {_TASK.format(id="id", by="created_by", at="created_at")}, 'user:' || created_by, created_at
FROM tasks WHERE workspace_id = $1
"""
_COMMENTS = """
INSERT INTO events
    (workspace_id, id, aggregate, aggregate_id, aggregate_version, type, schema_version, data, actor, time)
SELECT $1, gen_random_uuid(), 'comment', gen_random_uuid(), 1, 'comment.created', 1,
    jsonb_build_object('comment', jsonb_build_object('task_id', pg_temp.id(n * 10), 'text', 'seen')), 'system', now()
FROM generate_series(1, $2::bigint / 10) n
"""
_RELATIONS = """
INSERT INTO relations (workspace_id, source_id, type, task_id, id, created_by, created_at)
SELECT $1, CASE WHEN forth THEN pg_temp.id(n) ELSE pg_temp.id(n + 1) END,
    CASE WHEN forth THEN 'blocks' ELSE 'is_blocked_by' END,
    CASE WHEN forth THEN pg_temp.id(n + 1) ELSE pg_temp.id(n) END, lpad(to_hex(n), 32, 'f')::uuid, $2, now()
FROM generate_series(50, $3::bigint - 50, 50) n, (VALUES (true), (false)) way (forth)
"""
_TRASH = """
INSERT INTO trash SELECT workspace_id, gen_random_uuid(), 1, gen_random_uuid(), now() - n * interval '1 minute', $2
FROM generate_series(1, {TRASHED}) n, (VALUES ($1::uuid)) w (workspace_id)
"""
_TRASHED = f"""
WITH gone AS (UPDATE trash SET root_id = id WHERE workspace_id = $1 RETURNING *)
INSERT INTO events
    (workspace_id, id, aggregate, aggregate_id, aggregate_version, type, schema_version, data, actor, time)
SELECT workspace_id, gen_random_uuid(), 'task', id, 1, 'task.deleted', 1,
    {_TASK.format(id="id", by="deleted_by", at="deleted_at")}, 'system', deleted_at
FROM gone
"""


@dataclass(frozen=True)
class Workspace:
    """What is in it."""

    tasks: int
    id: UUID = field(default_factory=uuid7)
    users: list[UUID] = field(default_factory=lambda: [uuid7() for _ in range(USERS)])
    projects: list[UUID] = field(default_factory=lambda: [uuid7() for _ in range(PROJECTS)])
    labels: list[UUID] = field(default_factory=lambda: [uuid7() for _ in range(LABELS)])
    section: UUID = field(default_factory=uuid7)

    @property
    def private(self) -> list[UUID]:
        """The private projects, first those that are hidden from the first user."""
        return self.projects[-PRIVATE:]

    @staticmethod
    def task_id(number: int) -> UUID:
        """The id of a task, 1 for the oldest; task 1 has a hundredth of all as parts."""
        return UUID(int=(0x01900000 << 96) + number)

    async def fill(self, connection: asyncpg.Connection) -> None:
        """Write it into a migrated database, and bring what the planner knows up to date."""
        me = self.users[0]
        for function in _FUNCTIONS:
            await connection.execute(function)
        await connection.executemany(
            "INSERT INTO memberships VALUES ($1, $2, 'member', 1, false)",
            [(self.id, user) for user in self.users],
        )
        await connection.executemany(
            "INSERT INTO projects"
            " (workspace_id, id, name, key, last_number, created_by, visibility, created_at, updated_at, version)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, now(), now(), 1)",
            [
                (self.id, project, f"project {number}", f"P{number}", self.tasks, me, visibility)
                for number, project in enumerate(self.projects)
                for visibility in ["private" if project in self.private else "workspace"]
            ],
        )
        await connection.executemany(
            "INSERT INTO private_projects VALUES ($1, $2)", [(self.id, project) for project in self.private]
        )
        await connection.executemany(
            "INSERT INTO project_members VALUES ($1, $2, $3, 'member', $3, now())",
            [
                (self.id, project, user)
                for place, project in enumerate(self.private)
                for user in self.users[0 if place >= HIDDEN else 1 :: 2]
            ],
        )
        await connection.executemany(
            "INSERT INTO project_keys (workspace_id, key, project_id) VALUES ($1, $2, $3)",
            [(self.id, f"P{number}", project) for number, project in enumerate(self.projects)],
        )
        await connection.executemany(
            "INSERT INTO labels VALUES ($1, $2, $3, $3, '', $4, now(), now(), 1)",
            [(self.id, label, f"label{number}", me) for number, label in enumerate(self.labels)],
        )
        await connection.execute(
            "INSERT INTO sections VALUES ($1, $2, $3, 'later', 'a0', $4, now(), now(), 1)",
            self.id,
            self.section,
            self.projects[0],
            me,
        )
        async with connection.transaction():
            await connection.execute("SET LOCAL maintenance_work_mem = '512MB'")
            await connection.execute("SET LOCAL statement_timeout = 0")
            # Foreign keys hold by construction; to check each row would take longer than to write it.
            await connection.execute("SET LOCAL session_replication_role = replica")
            indexes = await connection.fetch(_INDEXES)
            for index in indexes:
                await connection.execute(f"DROP INDEX {index['name']}")
            fill = _TASKS.format(PROJECTS=PROJECTS, USERS=USERS)
            await connection.execute(fill, self.id, self.projects, self.labels, self.users, self.tasks, self.section)
            await connection.execute(_KEYS, self.id)
            await connection.execute(_DOCUMENTS, self.id)
            await connection.execute(_EVENTS, self.id)
            await connection.execute(_COMMENTS, self.id, self.tasks)
            await connection.execute(_RELATIONS, self.id, me, self.tasks)
            await connection.execute(_TRASH.format(TRASHED=TRASHED), self.id, me)
            await connection.execute(_TRASHED, self.id)
            await connection.execute(
                "INSERT INTO favourite_changes SELECT workspace_id, $1, id, '5' FROM tasks ORDER BY id LIMIT 5000", me
            )
            for index in indexes:
                await connection.execute(index["definition"])
        await connection.execute("VACUUM (ANALYZE)")
