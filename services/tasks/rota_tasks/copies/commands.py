"""Copies projects, in one transaction each.

What is copied is read at one moment before, so that nothing of it is held. Two at once make two copies; those with one
request id make one, which both answer. Dying before the commit leaves nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS

from rota_tasks import answers, bulk
from rota_tasks.bulk import Bulk
from rota_tasks.copies import domain, queries
from rota_tasks.copies.domain import Copier
from rota_tasks.keys import commands as keys
from rota_tasks.projects.domain import Visibility
from rota_tasks.projects.queries import get_project
from rota_tasks.tasks import requirements

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.requests import Request

    from rota_tasks.copies.domain import Wish
    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.projects.domain import Project


async def copy_project(
    projects: Projects,
    user: UserPrincipal,
    *,
    project_id: UUID,
    wish: Wish,
    request: Request | None,
    answer_of: Callable[[Project], bytes],
) -> bytes:
    """Copy a project within its workspace, a private one as the user's own; the answer.

    Raises:
        NotFound: it does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: it is too large (code PROJECT_TOO_LARGE), or with this start a date of the copy would lie outside the
            calendar (code DATE_OUT_OF_RANGE).
        Unprocessable: the request id was used for another content.
    """
    project = await get_project(projects, user, project_id=project_id, roles=WRITERS)
    workspace_id = project.workspace_id
    await projects.memberships.require(user.user_id, workspace_id, WRITERS)
    content = await queries.content_of(projects.database, user, project, include=wish.include)
    people = list(domain.people(content, wish))
    strangers = frozenset(await projects.memberships.strangers(workspace_id, people))
    if project.visibility is Visibility.PRIVATE:
        strangers |= frozenset(await requirements.blind_to_own(projects.database, user, workspace_id, people))
    try:
        copied = Copier(
            content, wish, by=user.user_id, now=projects.clock.now(), strangers=strangers, new_id=uuid7
        ).copy()
    except OverflowError as error:
        raise Conflict(
            "With this start, a date of the copy would lie outside the calendar; choose another.",
            code="DATE_OUT_OF_RANGE",
            violations=[Violation("start_on", "moves a date out of the calendar", "out_of_range")],
        ) from error
    new = Bulk(
        columns=[*copied.states, *copied.sections],
        fields=copied.fields,
        tasks=copied.tasks,
        items=copied.items,
        relations=copied.relations,
        attachments=copied.attachments,
        comments=copied.comments,
    )
    async with projects.database.transaction() as work:

        async def act() -> bytes:
            named = await keys.named(work, copied.project)
            await bulk.add(work, replace(new, projects=[named]))
            return answer_of(named)

        return await answers.once(work, request, act, workspace_id=workspace_id, user_id=user.user_id)
