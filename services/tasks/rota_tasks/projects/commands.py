"""What changes projects: one function a use case, one transaction each.

Two at once: the project's row is locked first, so they take turns, and `If-Match` tells the loser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
from rota_chassis.errors import Conflict
from rota_chassis.ids import uuid7
from rota_chassis.memberships import ADMIN, OWNER, WRITERS, require_role

from rota_tasks.boards import domain as boards
from rota_tasks.boards import messages as board_messages
from rota_tasks.boards import store as board_store
from rota_tasks.fields import domain as fields
from rota_tasks.fields import messages as field_messages
from rota_tasks.fields import store as field_store
from rota_tasks.keys import commands as keys
from rota_tasks.preconditions import require_version
from rota_tasks.projects import domain, queries, store
from rota_tasks.projects.domain import Project
from rota_tasks.projects.messages import event_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.projects.domain import ProjectEvent

ADMINS = frozenset({OWNER, ADMIN})


async def create_project(projects: Projects, user: UserPrincipal, *, workspace_id: UUID, **fields: Any) -> Project:
    """Create a project.

    Raises:
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: another project has the key, or had it (code PROJECT_KEY_TAKEN).
    """
    await projects.memberships.require(user.user_id, workspace_id, WRITERS)
    now = projects.clock.now()
    project = Project(
        id=uuid7(), workspace_id=workspace_id, created_by=user.user_id, created_at=now, updated_at=now, **fields
    )
    async with projects.database.transaction() as work:
        project = await keys.named(work, project)
        created = domain.create(project)
        await apply(work, [created])
    return created.project


async def edit_project(
    projects: Projects, user: UserPrincipal, *, project_id: UUID, changes: Mapping[str, Any], if_match: str
) -> Project:
    """Set name, description, color, archived, key or visibility.

    Raises:
        NotFound: the project does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: another project has the key, or had it (code PROJECT_KEY_TAKEN).
        PreconditionFailed: the project's entity tag is another.
    """
    await queries.get_project(projects, user, project_id=project_id)
    async with projects.database.transaction() as work:
        if "key" in changes:
            # What its tasks are found by is written anew: who holds more than one of them holds the board.
            await board_store.lock(work, project_id)
        project, role = await lock(work, user, project_id, if_match)
        if changes.get("visibility", project.visibility) is not project.visibility:
            require_role(role, ADMINS)
        if changes.get("key", project.key) != project.key:
            await keys.claim(work, workspace_id=project.workspace_id, project_id=project.id, key=changes["key"])
        events = domain.edit(project, changes, now=projects.clock.now())
        await apply(work, events)
        return events[-1].project if events else project


async def delete_project(projects: Projects, user: UserPrincipal, *, project_id: UUID, if_match: str) -> None:
    """Delete a project without tasks, its states, sections and custom fields with it, each with its event.

    Raises:
        NotFound: the project does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it has tasks (code PROJECT_IN_USE).
        PreconditionFailed: the project's entity tag is another.
    """
    await queries.get_project(projects, user, project_id=project_id)
    try:
        async with projects.database.transaction() as work:
            await board_store.lock(work, project_id)
            project, _role = await lock(work, user, project_id, if_match)
            now = projects.clock.now()
            among = {"workspace_id": project.workspace_id, "project_id": project_id}
            columns = [
                *await board_store.columns(work, boards.State, **among),
                *await board_store.columns(work, boards.Section, **among),
            ]
            for event in (event for column in columns for event in boards.delete(column, now=now)):
                work.append(board_messages.event_message(event))
                await board_store.project(work, event)
            for field in await field_store.fields_of(work, **among):
                gone = fields.delete(field, now=now)
                work.append(field_messages.event_message(gone))
                await field_store.project(work, gone)
            await apply(work, domain.delete(project, now=now))
    except asyncpg.ForeignKeyViolationError as error:
        raise Conflict(
            "The project has tasks; archive it, or move or delete them first.", code="PROJECT_IN_USE"
        ) from error


async def lock(
    work: UnitOfWork,
    user: UserPrincipal,
    project_id: UUID,
    if_match: str = "",
    *,
    roles: frozenset[str] | None = WRITERS,
) -> tuple[Project, str]:
    """The project with its members, locked until the transaction ends, and the user's role in it.

    Raises:
        NotFound: it does not exist for the user.
        PermissionDenied: their role is none of those that will do.
        PreconditionFailed: its entity tag is another.
    """
    found = await store.lock(work, user_id=user.user_id, project_id=project_id)
    if found is None:
        raise queries.no_such_project()
    project, role = found
    require_role(role, roles)
    require_version(if_match, version=project.version, etag=project.etag)
    return project, role


async def apply(work: UnitOfWork, events: Sequence[ProjectEvent]) -> None:
    """Make it so: the events into the log and the read tables."""
    for event in events:
        work.append(event_message(event))
        await store.project(work, event)
