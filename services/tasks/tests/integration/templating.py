"""Templates as tests save and use them, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
from rota.tasks.v1 import (
    checklists_pb2,
    relations_pb2,
    tasks_pb2,
    templates_pb2,
)
from rota_chassis.codec import decoder
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


content_of = decoder(templates_pb2.TemplateContent)


MOVE: dict[str, Any] = {
    "variables": [
        {"name": "client", "required": True},
        {"name": "owner", "type": "user"},
        {"name": "launch", "type": "date"},
        {"name": "budget", "type": "number", "default_value": "100"},
    ],
    "project": {
        "name": "Onboard {{client}}",
        "description": "For {{client}}; not \\{{client}}",
        "color": "#112233",
        "sections": [{"key": "first", "name": "First"}, {"key": "then", "name": "Then"}],
        "states": [
            {"key": "open", "name": "Open", "group": "todo", "transitions": [{"to": "over"}]},
            {"key": "over", "name": "Over", "group": "done", "wip_limit": 50},
        ],
        "fields": [
            {"name": "Budget", "type": "number"},
            {"name": "Wood", "type": "select", "options": [{"name": "Oak"}, {"name": "Elm", "color": "#00ff00"}]},
            {"name": "Paid", "type": "money"},
            {"name": "Ready", "type": "date"},
            {"name": "Who", "type": "person"},
            {"name": "Kinds", "type": "multi_select", "options": [{"name": "A"}, {"name": "B"}]},
            {"name": "Site", "type": "url"},
        ],
    },
    "tasks": [
        {
            "key": "kick",
            "title": "Call {{client}}",
            "description": "Ask {{client}} about {{budget}}",
            "priority": "high",
            "start": "+0d",
            "due": "+3d",
            "deadline": "+1w",
            "remind": "+2dT17:30",
            "labels": ["calls", "{{client}}"],
            "assignees": ["{{owner}}"],
            "watchers": ["{{owner}}"],
            "section": "then",
            "estimate_s": 600,
            "category": "sales",
            "remind_before_s": [60],
            "checklist": [{"title": "Greet {{client}}", "assignee": "{{owner}}"}, {"title": "Listen"}],
            "fields": {
                "Budget": {"values": ["{{budget}}"]},
                "Wood": {"values": ["Elm"]},
                "Paid": {"values": ["12.50 EUR"]},
                "Ready": {"values": ["{{launch}}+1d"]},
                "Kinds": {"values": ["B", "A"]},
                "Site": {"values": ["https://example.org/{{client}}"]},
            },
        },
        {"key": "notes", "title": "Notes", "parent": "kick", "due": "{{launch}}-1wT09:00", "state": "open"},
        {"title": "After", "parent": "notes", "due": "+10d", "time_zone": "America/New_York", "remind": "-400d"},
    ],
    "relations": [{"source": "kick", "type": "blocks", "target": "notes", "lag_s": 60}],
}


async def save(stage: Stage, content: Any = None, *, user: User | None = None, **fields: Any) -> Any:
    source = {"content": content_of(content)} if content is not None else {}
    request = templates_pb2.CreateTemplateRequest(**{"name": "Onboarding"} | source | fields)
    return (await stage.templates.CreateTemplate(request, metadata=(user or stage.ada).metadata)).template


async def use(stage: Stage, template: Any, *, user: User | None = None, **fields: Any) -> Any:
    request = templates_pb2.InstantiateTemplateRequest(id=template.id, **fields)
    return await stage.templates.InstantiateTemplate(request, metadata=(user or stage.ada).metadata)


async def get(stage: Stage, task_id: str) -> Any:
    return (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task_id), metadata=stage.ada.metadata)).task


async def checklist(stage: Stage, task_id: str) -> list[tuple[str, bool, str]]:
    request = checklists_pb2.ListChecklistItemsRequest(task_id=task_id)
    items = (await stage.checklists.ListChecklistItems(request, metadata=stage.ada.metadata)).items
    return [(each.title, each.is_done, each.assignee_id) for each in items]


async def related(stage: Stage, task_id: str) -> list[tuple[int, str, int]]:
    request = relations_pb2.ListRelationsRequest(id=task_id)
    found = (await stage.relations.ListRelations(request, metadata=stage.ada.metadata)).relations
    return [(each.type, each.task_id, each.lag_s) for each in found]


async def counts(stage: Stage) -> dict[str, int]:
    connection = await asyncpg.connect(stage.database_url)
    try:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 (names of ours)
            for table in ("projects", "tasks", "labels", "relations", "checklist_items", "events", "templates")
        }
    finally:
        await connection.close()


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=2)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


def tasks(**fields: Any) -> dict[str, Any]:
    return {"tasks": [{"title": "A", **fields}]}
