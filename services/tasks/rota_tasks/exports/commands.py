"""What changes exports: one function a use case, one transaction each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound, Unprocessable
from rota_chassis.ids import uuid7

from rota_tasks.exports import store
from rota_tasks.exports.domain import Export, Format
from rota_tasks.tasks import requirements

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.requests import Request

    from rota_tasks.exports.dependencies import Exports


async def create_export(
    exports: Exports,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    project_id: UUID | None,
    file_format: Format,
    request: Request | None,
) -> Export:
    """Start an export; to see the workspace is enough.

    Raises:
        NotFound: the workspace or the project does not exist for the user.
        Unprocessable: the request id was used for another content.
    """
    tasks = exports.tasks
    await tasks.memberships.require(user.user_id, workspace_id)
    now = tasks.clock.now()
    job = Export(
        id=uuid7(),
        workspace_id=workspace_id,
        created_by=user.user_id,
        format=file_format,
        project_id=project_id,
        created_at=now,
        updated_at=now,
    )
    async with tasks.database.transaction() as work:
        await requirements.require_project(work, user, workspace_id, project_id, None)
        first = await store.insert_job(
            work,
            job,
            request_id=request.id if request else None,
            fingerprint=request.fingerprint if request else None,
        )
        if first is not None:
            export_id, fingerprint = first
            if request is None or fingerprint != request.fingerprint:
                raise Unprocessable(
                    "This idempotency key was used for another export; use a new one.", code="REQUEST_ID_REUSED"
                )
            made = await store.get(work, user_id=user.user_id, export_id=export_id)
            if made is None:
                raise NotFound("The export that this call made has expired.", code="EXPORT_NOT_FOUND")
            return made
    exports.wake()
    return job
