"""Exports, as tests start and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.tasks.v1 import (
    exports_pb2,
)
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User
ROTA, CSV = exports_pb2.EXPORT_FORMAT_ROTA, exports_pb2.EXPORT_FORMAT_CSV


async def start(stage: Stage, *, user: User | None = None, **fields: Any) -> Any:
    request = exports_pb2.CreateExportRequest(**{"format": ROTA, **fields})
    return (await stage.exports.CreateExport(request, metadata=(user or stage.ada).metadata)).job


async def done(stage: Stage, export_id: str) -> Any:
    async def look() -> Any:
        request = exports_pb2.GetExportRequest(id=export_id)
        job = (await stage.exports.GetExport(request, metadata=stage.ada.metadata)).job
        return job if job.finished_at.seconds else None

    return await eventually(look, timeout_s=30)


async def content(stage: Stage, export_id: str) -> str:
    request, pieces = exports_pb2.GetExportContentRequest(id=export_id), []
    while True:
        answer = await stage.exports.GetExportContent(request, metadata=stage.ada.metadata)
        pieces.append(answer.content)
        if not answer.next_page_token:
            return "".join(pieces)
        request.page_token = answer.next_page_token


async def exported(stage: Stage, **fields: Any) -> str:
    job = await done(stage, (await start(stage, **fields)).id)
    assert job.status == exports_pb2.EXPORT_STATUS_DONE
    return await content(stage, job.id)
