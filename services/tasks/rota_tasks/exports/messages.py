"""Exports as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.tasks.v1 import exports_pb2

from rota_tasks.exports.domain import Format, Status
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from rota_tasks.exports.domain import Export

_FORMATS = {each: exports_pb2.ExportFormat.Value(f"EXPORT_FORMAT_{each.name}") for each in Format}
_STATUSES = {each: exports_pb2.ExportStatus.Value(f"EXPORT_STATUS_{each.name}") for each in Status}
FORMATS = {number: each for each, number in _FORMATS.items()}


def export_message(job: Export) -> exports_pb2.Export:
    """The export as the API shows it."""
    return exports_pb2.Export(
        id=str(job.id),
        workspace_id=str(job.workspace_id),
        created_by=str(job.created_by),
        format=_FORMATS[job.format],
        project_id=None if job.project_id is None else str(job.project_id),
        status=_STATUSES[job.status],
        tasks_total=job.tasks_total,
        tasks=job.tasks,
        records=job.records,
        characters=job.characters,
        created_at=timestamp(job.created_at),
        updated_at=timestamp(job.updated_at),
        finished_at=timestamp(job.finished_at),
        expires_at=timestamp(job.expires_at),
    )
