"""Lists, filters and searches are served by indexes, however many tasks there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from rota_chassis.clock import SystemClock
from rota_chassis.filters.literals import Context
from rota_chassis.postgres.statements import statement
from rota_tasks.search import store as search
from rota_tasks.sync import store as sync
from rota_tasks.tasks import listing
from rota_tasks.tasks.filtering import filter_of
from rota_tasks.tasks.ordering import order_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_chassis.testing.service_plugin import MakeDatabase
    from sqlalchemy import Select

ROWS = 30_000
WORKSPACE, USER, LABEL = uuid4(), uuid4(), uuid4()
_FILL = """
INSERT INTO tasks (workspace_id, id, title, description, status, priority, due_at, assignee_ids, created_by,
    created_at, updated_at, completed_at, version, label_ids)
SELECT $1, lpad(to_hex(n), 32, '0')::uuid, 'task ' || n, 'every one of them', status,
    (ARRAY['none', 'low', 'medium', 'high', 'urgent'])[1 + n % 5],
    CASE WHEN n % 3 = 0 THEN now() + (n % 1000) * interval '1 hour' END,
    CASE WHEN n % 500 = 0 THEN ARRAY[$2::uuid] ELSE '{}' END, $2, now(), now() - n * interval '1 second',
    CASE WHEN status = 'done' THEN now() END, 1, CASE WHEN n % 700 = 0 THEN ARRAY[$3::uuid] ELSE '{}' END
FROM (SELECT n, CASE WHEN n % 10 = 0 THEN 'todo' ELSE 'done' END AS status FROM generate_series(1, $4::int) n) s
"""
_DOCUMENTS = """
INSERT INTO search_documents SELECT workspace_id, id,
    setweight(to_tsvector('simple', title), 'A') || setweight(to_tsvector('simple', description), 'C') FROM tasks
"""


@pytest.fixture
async def full(make_database: MakeDatabase) -> AsyncIterator[asyncpg.Connection]:
    """A workspace with many tasks."""
    connection = await asyncpg.connect(await make_database("tasks"))
    await connection.execute(
        "INSERT INTO memberships (workspace_id, user_id, role, version, removed) VALUES ($1, $2, 'member', 1, false)",
        WORKSPACE,
        USER,
    )
    await connection.execute(
        "INSERT INTO labels VALUES ($1, $2, 'garden', 'garden', '', $3, now(), now(), 1)", WORKSPACE, LABEL, USER
    )
    await connection.execute(_FILL, WORKSPACE, USER, LABEL, ROWS)
    await connection.execute(_DOCUMENTS)
    await connection.execute("ANALYZE")
    yield connection
    await connection.close()


def _lists() -> dict[str, Select[Any]]:
    context = Context(SystemClock().now(), me=USER)
    filters = {
        "status = todo": "",
        "priority >= high AND due_at < now+7d": "due_at asc",
        "due < now+7d": "due asc",
        "start >= today": "start desc",
        "status = done AND progress = 0": "updated_at desc",
        "label = garden": "",
        f"label_id = {LABEL}": "due_at desc",
        "assignee = me AND status = todo": "title asc",
        "status != cancelled": "priority desc",
        "is_blocked = false AND NOT due_at = null": "title desc",
    }
    found = {}
    for text, order in filters.items():
        for after in (None, listing.Cursor(None, UUID(int=ROWS // 2))):
            if after is not None and order:
                continue
            found[f"{text}, by {order or 'default'}, {'first' if after is None else 'next'} page"] = listing.page_query(
                order_of(order), filter_of(text, context, {}), None, after=after, valued=True
            )
    found["without a due date"] = listing.page_query(order_of("due_at desc"), None, None, after=None, valued=False)
    for words in ("every", "29999", "task -every", "every 299"):
        found[f"search: {words}"] = search.page_query(words, None, None, None)
    found["search with a filter"] = search.page_query("every", filter_of("status = todo", context, {}), None, None)
    return found


def _scans(plan: dict[str, Any]) -> set[str]:
    below = {each for part in plan.get("Plans", ()) for each in _scans(part)}
    return below | ({plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set())


async def test_no_list_filter_or_search_reads_a_whole_table(full: asyncpg.Connection) -> None:
    slow = {}
    for name, query in _lists().items():
        asked = statement(query)
        explained = await full.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {asked.sql}", *asked.arguments({"user_id": USER, "limit": 51})
        )
        plan = orjson.loads(explained)[0]
        if _scans(plan["Plan"]) & {"tasks", "search_documents"}:
            slow[name] = _scans(plan["Plan"])
    assert slow == {}


_EVENTS = """
INSERT INTO events (workspace_id, id, aggregate, aggregate_id, aggregate_version, type, schema_version, data, actor,
    time)
SELECT $1, gen_random_uuid(), 'task', lpad(to_hex(n % 10000), 32, '0')::uuid, 1 + n / 10000,
    CASE WHEN n < 10000 THEN 'task.created' WHEN n % 5000 = 0 THEN 'task.deleted' ELSE 'task.updated' END, 1,
    jsonb_build_object('task', jsonb_build_object(
        'status', CASE WHEN n % 3 = 0 THEN 'done' ELSE 'todo' END, 'parent_id', gen_random_uuid())), 'system', now()
FROM generate_series(1, $2::int) n
"""


async def test_no_page_of_changes_reads_a_whole_table(full: asyncpg.Connection) -> None:
    await full.execute(_EVENTS, WORKSPACE, ROWS)
    await full.execute(
        "INSERT INTO favourite_changes SELECT workspace_id, $1, id, '5' FROM tasks ORDER BY id LIMIT 5000", USER
    )
    await full.execute("ANALYZE")
    slow = {}
    for xid, position in (("0", 0), ("5", ROWS // 2), ("9000000000", 0)):
        parameters = {"workspace_id": WORKSPACE, "user_id": USER, "xid": xid, "position": position}
        arguments = sync.TOUCHED.arguments({**parameters, "kind": "", "id": UUID(int=0), "limit": 51})
        explained = await full.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sync.TOUCHED.sql}", *arguments)
        plan = orjson.loads(explained)[0]
        scanned = _scans(plan["Plan"]) & {"tasks", "events", "favourite_changes"}
        if scanned or plan["Execution Time"] > 100:
            slow[xid, position] = (scanned, plan["Execution Time"])
    assert slow == {}
