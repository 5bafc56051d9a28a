"""What reads exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, NotFound

from rota_tasks.exports import store
from rota_tasks.exports.domain import Status

if TYPE_CHECKING:
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.exports.dependencies import Exports
    from rota_tasks.exports.domain import Export


async def get_export(exports: Exports, user: UserPrincipal, *, export_id: UUID) -> Export:
    """One export of the user.

    Raises:
        NotFound: it does not exist, or is another's.
    """
    job = await store.get(exports.tasks.database, user_id=user.user_id, export_id=export_id)
    if job is None:
        raise NotFound("There is no such export.", code="EXPORT_NOT_FOUND")
    return job


async def get_part(exports: Exports, user: UserPrincipal, *, export_id: UUID, number: int) -> tuple[str, bool]:
    """A piece of the file of an export, and whether another follows.

    Raises:
        NotFound: the export does not exist, or is another's.
        Conflict: it is not done (code EXPORT_NOT_DONE).
    """
    job = await get_export(exports, user, export_id=export_id)
    if job.status is not Status.DONE:
        raise Conflict(f"The export is {job.status}; fetch its content when it is done.", code="EXPORT_NOT_DONE")
    content = await store.part(exports.tasks.database, job, number=number)
    return content or "", number < job.parts
