"""Filters and orders by custom fields are served by indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
from rota_chassis.clock import SystemClock
from rota_chassis.filters.ast import Kind
from rota_chassis.filters.literals import Context
from rota_chassis.postgres.pool import prepare_connection
from rota_chassis.postgres.statements import statement
from rota_tasks.fields.domain import CustomField, FieldType
from rota_tasks.tasks import listing
from rota_tasks.tasks.custom import CustomName
from rota_tasks.tasks.filtering import filter_of
from rota_tasks.tasks.ordering import order_of

if TYPE_CHECKING:
    from rota_chassis.testing.service_plugin import MakeDatabase

ROWS = 30_000
WORKSPACE, USER, PROJECT = uuid4(), uuid4(), uuid4()
# A tenth of the tasks are in the project; all of these have a number, and some name a person.
_FILL = """
INSERT INTO tasks (workspace_id, id, title, description, status, priority, assignee_ids, created_by, created_at,
    updated_at, version, label_ids, project_id, fields)
SELECT $1, lpad(to_hex(n), 32, '0')::uuid, 'task ' || n, '', 'todo', 'none', '{}', $2::uuid, now(), now(), 1, '{}',
    CASE WHEN n % 10 = 0 THEN $3::uuid END,
    CASE WHEN n % 10 = 0 THEN jsonb_build_object($4::text, jsonb_build_object('number', n)) ELSE '{}' END
    || CASE WHEN n % 100 = 0 THEN jsonb_build_object($5::text, jsonb_build_object('user_id', $2::uuid)) ELSE '{}' END
FROM generate_series(1, $6::int) n
"""


def _field(kind: FieldType) -> CustomField:
    now = SystemClock().now()
    return CustomField(
        id=uuid4(),
        workspace_id=WORKSPACE,
        project_id=PROJECT,
        name=kind,
        type=kind,
        position="a0",
        created_by=USER,
        created_at=now,
        updated_at=now,
    )


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(each for part in plan.get("Plans", ()) for each in _nodes(part))]


async def test_custom_fields_are_found_by_index(make_database: MakeDatabase) -> None:
    connection = await asyncpg.connect(await make_database("tasks"))
    await prepare_connection(connection)
    await connection.execute(
        "INSERT INTO memberships (workspace_id, user_id, role, version, removed) VALUES ($1, $2, 'member', 1, false)",
        WORKSPACE,
        USER,
    )
    await connection.execute(
        "INSERT INTO projects (workspace_id, id, name, created_by, created_at, updated_at, version) "
        "VALUES ($1, $2, 'House', $3, now(), now(), 1)",
        WORKSPACE,
        PROJECT,
        USER,
    )
    number, person, note = _field(FieldType.NUMBER), _field(FieldType.PERSON), _field(FieldType.TEXT)
    await connection.execute(_FILL, WORKSPACE, USER, PROJECT, str(number.id), str(person.id), ROWS)
    await connection.execute("ANALYZE")
    names = {
        name: CustomName(name, kind, nullable=True, definition=field)
        for field, kind in ((number, Kind.NUMBER), (person, Kind.ID), (note, Kind.TEXT))
        for name in [f"fields.{field.id}"]
    }
    context = Context(SystemClock().now(), me=USER)
    cost, owner, remark = names
    used = {}
    for text, order in (
        (f"{cost} = 70", ""),
        (f"{owner} = me", "title asc"),
        (f"{cost} > 29000", "due_at asc"),
        (f"{cost} < 300 AND {owner} = me", f"{cost} desc"),
        (f'{remark} : "nowhere"', ""),
        ("", f"{cost} asc"),
    ):
        where = filter_of(text, context, {}, names)
        asked = statement(listing.page_query(order_of(order, names), where, None, after=None, valued=True))
        plan = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {asked.sql}", *asked.arguments({"user_id": USER, "limit": 51})
        )
        nodes = _nodes(plan[0]["Plan"])
        whole = [each for each in nodes if each["Node Type"] == "Seq Scan" and each["Relation Name"] == "tasks"]
        assert not whole, (text, order)
        used[text] = {each["Index Name"] for each in nodes if "Index Name" in each}
    await connection.close()
    assert "tasks_fields" in used[f"{cost} = 70"]
    assert used[f'{remark} : "nowhere"'] & {"tasks_project", "tasks_fields"}
