"""Imports as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.tasks.v1 import imports_pb2

from rota_tasks.imports.domain import Count, Format, Status
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from rota_tasks.imports.domain import Import

_FORMATS = {each: imports_pb2.ImportFormat.Value(f"IMPORT_FORMAT_{each.name}") for each in Format}
_STATUSES = {each: imports_pb2.ImportStatus.Value(f"IMPORT_STATUS_{each.name}") for each in Status}
FORMATS = {number: each for each, number in _FORMATS.items()}


def import_message(job: Import, *, problems: bool = True) -> imports_pb2.Import:
    """The import as the API shows it, with its problems or without."""
    progress = job.progress
    total = Count()
    for count in progress.counts.values():
        total = total.plus(count)
    return imports_pb2.Import(
        id=str(job.id),
        workspace_id=str(job.workspace_id),
        created_by=str(job.created_by),
        format=_FORMATS[job.format],
        source=job.source,
        project_id=None if job.project_id is None else str(job.project_id),
        dry_run=job.dry_run,
        status=_STATUSES[job.status],
        characters=job.characters,
        parts=job.parts,
        read=progress.cursor,
        created=total.created,
        skipped=total.skipped,
        failed=total.failed,
        counts=[
            imports_pb2.ImportCount(kind=kind, created=count.created, skipped=count.skipped, failed=count.failed)
            for kind, count in progress.counts.items()
        ],
        problem_count=progress.problem_count,
        problems=[
            imports_pb2.ImportProblem(place=each.place, code=each.code, detail=each.detail, left_out=each.left_out)
            for each in (progress.problems if problems else ())
        ],
        created_at=timestamp(job.created_at),
        updated_at=timestamp(job.updated_at),
        finished_at=timestamp(job.finished_at),
    )
