"""What changes who is named in a project: one function a use case, one transaction each.

Two at once: the project's row is locked first, so that they take turns; of two who name one user the second is told
that they are a member. Dying before the commit leaves nothing. A repeated call with the same request id gets the answer
of the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import AlreadyExists, Conflict, Violation

from rota_tasks import answers
from rota_tasks.members import queries
from rota_tasks.projects import domain, store
from rota_tasks.projects.commands import ADMINS, apply, lock
from rota_tasks.projects.domain import Member, Role
from rota_tasks.projects.queries import get_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_tasks.projects.dependencies import Projects


async def add_member(
    projects: Projects,
    user: UserPrincipal,
    *,
    project_id: UUID,
    user_id: UUID,
    role: Role,
    request: Request | None,
    answer_of: Callable[[Member], bytes],
) -> bytes:
    """Name a user in a project; the answer.

    Raises:
        NotFound: the project does not exist for the user.
        PermissionDenied: the user is no admin of it.
        Conflict: who is to be named does not belong to the workspace (code NOT_IN_WORKSPACE), or the project has as
            many members as it may (code TOO_MANY_PROJECT_MEMBERS).
        AlreadyExists: they are named in it already (code PROJECT_MEMBER_EXISTS).
        Unprocessable: the request id was used for another content.
    """
    workspace_id = (await get_project(projects, user, project_id=project_id)).workspace_id
    strangers = await projects.memberships.strangers(workspace_id, [user_id])
    async with projects.database.transaction() as work:

        async def act() -> bytes:
            project, _role = await lock(work, user, project_id, roles=ADMINS)
            if strangers:
                raise Conflict(
                    "Only who belongs to the workspace can be named in its projects; invite them first.",
                    code="NOT_IN_WORKSPACE",
                    violations=[Violation("user_id", "is not a member of the workspace", "not_a_member")],
                )
            if domain.member_of(project, user_id) is not None:
                raise AlreadyExists(
                    "This user is a member of the project already; change their role instead.",
                    code="PROJECT_MEMBER_EXISTS",
                    violations=[Violation("user_id", "is a member of the project", "not_unique")],
                )
            now = projects.clock.now()
            member = Member(user_id=user_id, role=role, added_by=user.user_id, added_at=now)
            try:
                added = domain.add_member(project, member, now=now)
            except OverflowError as error:
                raise Conflict(f"{error}.".capitalize(), code="TOO_MANY_PROJECT_MEMBERS") from error
            await apply(work, [added])
            return answer_of(member)

        return await answers.once(work, request, act, workspace_id=workspace_id, user_id=user.user_id)


async def change_member(
    projects: Projects, user: UserPrincipal, *, project_id: UUID, user_id: UUID, role: Role | None
) -> Member:
    """Give a member another role, if one is given.

    Raises:
        NotFound: the project, or the member, does not exist for the user.
        PermissionDenied: the user is no admin of the project.
    """
    await get_project(projects, user, project_id=project_id)
    async with projects.database.transaction() as work:
        project, _role = await lock(work, user, project_id, roles=ADMINS)
        member = domain.member_of(project, user_id)
        if member is None:
            raise queries.no_such_member()
        events = domain.change_member(project, member, role or member.role, now=projects.clock.now())
        await apply(work, events)
        return events[-1].member if events else member


async def remove_member(projects: Projects, user: UserPrincipal, *, project_id: UUID, user_id: UUID) -> None:
    """Take a member out of a project, as one of its admins or as the member.

    Raises:
        NotFound: the project, or the member, does not exist for the user.
        PermissionDenied: the user is neither.
    """
    await get_project(projects, user, project_id=project_id)
    async with projects.database.transaction() as work:
        project, _role = await lock(work, user, project_id, roles=None if user_id == user.user_id else ADMINS)
        member = domain.member_of(project, user_id)
        if member is None:
            raise queries.no_such_member()
        await apply(work, [domain.remove_member(project, member, now=projects.clock.now())])


async def remove_from_all(
    work: UnitOfWork, *, workspace_id: UUID, user_id: UUID, left_at: datetime, now: datetime
) -> None:
    """Take who left a workspace out of its projects, so that they are in none when they come back.

    Args:
        work: The transaction.
        workspace_id: Which they left.
        user_id: Who.
        left_at: When. Who came back before this was known may have been named anew since.
        now: The time of the change.
    """
    for project_id in await store.with_member(work, workspace_id=workspace_id, user_id=user_id):
        project = await store.hold(work, workspace_id=workspace_id, project_id=project_id)
        member = domain.member_of(project, user_id) if project is not None else None
        if project is not None and member is not None and member.added_at <= left_at:
            await apply(work, [domain.remove_member(project, member, now=now)])
