"""Imports as tests start and await them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from rota.tasks.v1 import imports_pb2, tasks_pb2
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


ENDED = {imports_pb2.IMPORT_STATUS_DONE, imports_pb2.IMPORT_STATUS_FAILED, imports_pb2.IMPORT_STATUS_CANCELLED}


CSV = imports_pb2.IMPORT_FORMAT_CSV


async def start(stage: Stage, content: str | None, *, user: User | None = None, **fields: Any) -> Any:
    request = imports_pb2.CreateImportRequest(**{"format": CSV, "content": content, **fields})
    return (await stage.imports.CreateImport(request, metadata=(user or stage.ada).metadata)).job


async def ended(stage: Stage, import_id: str, *, user: User | None = None) -> Any:
    async def look() -> Any:
        request = imports_pb2.GetImportRequest(id=import_id)
        job = (await stage.imports.GetImport(request, metadata=(user or stage.ada).metadata)).job
        return job if job.status in ENDED else None

    return await eventually(look, timeout_s=30)


async def run(stage: Stage, content: Any, *, user: User | None = None, **fields: Any) -> Any:
    """An import that has ended, of a text or of what is to be JSON."""
    text = content if isinstance(content, str) else orjson.dumps(content).decode()
    return await ended(stage, (await start(stage, text, user=user, **fields)).id, user=user)


async def tasks_of(stage: Stage, user: User | None = None) -> dict[str, Any]:
    request = tasks_pb2.ListTasksRequest(page_size=200)
    answer = await stage.tasks.ListTasks(request, metadata=(user or stage.ada).metadata)
    return {task.title: task for task in answer.tasks}


def codes(job: Any) -> list[tuple[str, str]]:
    return [(each.place, each.code) for each in job.problems]
