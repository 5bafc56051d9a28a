"""What changes imports: one function a use case, one transaction each.

Two at once: the row of the import is locked first, also by the worker for each batch. A part that is delivered twice is
found to be there. Dying after the commit loses nothing: the worker finds the import by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict, NotFound, Unprocessable
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS

from rota_tasks.imports import queries, store
from rota_tasks.imports.domain import ENDED, MAX_CHARACTERS, Import, Status
from rota_tasks.tasks import requirements

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_tasks.imports.dependencies import Imports


async def create_import(
    imports: Imports,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    content: str | None,
    request: Request | None,
    **fields: Any,
) -> Import:
    """Start an import: queued when its file comes along, otherwise waiting for parts.

    Raises:
        NotFound: the workspace or the project does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Unprocessable: the request id was used for another content.
    """
    tasks = imports.tasks
    await tasks.memberships.require(user.user_id, workspace_id, WRITERS)
    now = tasks.clock.now()
    job = Import(
        id=uuid7(),
        workspace_id=workspace_id,
        created_by=user.user_id,
        status=Status.WAITING,
        created_at=now,
        updated_at=now,
        **fields,
    )
    if content is not None:
        job = replace(job, status=Status.QUEUED, characters=len(content), parts=1)
    async with tasks.database.transaction() as work:
        await requirements.require_project(work, user, workspace_id, job.project_id)
        first = await store.insert_job(
            work,
            job,
            request_id=request.id if request else None,
            fingerprint=request.fingerprint if request else None,
        )
        if first is not None:
            return await _made_before(work, user, request, first)
        if content is not None:
            await store.add_part(work, job, number=1, content=content)
    imports.wake()
    return job


async def add_part(
    imports: Imports, user: UserPrincipal, *, import_id: UUID, number: int, content: str, last: bool
) -> Import:
    """Add a part to the file of an import; with the last one it is queued.

    Raises:
        NotFound: the import does not exist, or is another's.
        Conflict: it does not wait for parts, another part has the number, one is missing before the last, or the file
            is too large.
    """
    async with imports.tasks.database.transaction() as work:
        job = await store.lock(work, user_id=user.user_id, import_id=import_id)
        if job is None:
            raise queries.no_such_import()
        if job.status is not Status.WAITING:
            if await store.get_part(work, job, number=number) == content:
                return job
            raise Conflict("This import has its file; start another.", code="IMPORT_NOT_WAITING")
        if await store.add_part(work, job, number=number, content=content):
            job = replace(job, characters=job.characters + len(content), parts=job.parts + 1)
        elif await store.get_part(work, job, number=number) != content:
            raise Conflict(f"Part {number} is here with another content.", code="IMPORT_PART_DIFFERS")
        if job.characters > MAX_CHARACTERS:
            raise Conflict(
                f"A file has at most {MAX_CHARACTERS} characters; split it into several imports.",
                code="IMPORT_TOO_LARGE",
            )
        if last:
            highest = await store.highest_part(work, job)
            if job.parts != number or highest != number:
                raise Conflict(
                    f"{job.parts} parts are here, the highest with the number {highest}: send those that are "
                    f"missing, then part {number} as the last again.",
                    code="IMPORT_PARTS_MISSING",
                )
            job = replace(job, status=Status.QUEUED)
        job = replace(job, updated_at=imports.tasks.clock.now())
        await store.save(work, job)
    imports.wake()
    return job


async def cancel_import(imports: Imports, user: UserPrincipal, *, import_id: UUID) -> Import:
    """Stop an import; nothing when it has ended.

    Raises:
        NotFound: the import does not exist, or is another's.
    """
    async with imports.tasks.database.transaction() as work:
        job = await store.lock(work, user_id=user.user_id, import_id=import_id)
        if job is None:
            raise queries.no_such_import()
        if job.status in ENDED:
            return job
        now = imports.tasks.clock.now()
        job = replace(job, status=Status.CANCELLED, updated_at=now, finished_at=now)
        await store.save(work, job)
        await store.drop_parts(work, job)
    return job


async def _made_before(
    work: UnitOfWork, user: UserPrincipal, request: Request | None, first: tuple[UUID, bytes]
) -> Import:
    import_id, fingerprint = first
    if request is None or fingerprint != request.fingerprint:
        raise Unprocessable(
            "This idempotency key was used for another import; use a new one.", code="REQUEST_ID_REUSED"
        )
    job = await store.get(work, user_id=user.user_id, import_id=import_id)
    if job is None:
        raise NotFound("The import that this call made is gone.", code="IMPORT_NOT_FOUND")
    return job
