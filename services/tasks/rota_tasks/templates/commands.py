"""What changes templates: one function a use case, one transaction each; what uses them is `instantiating`.

Two at once: changes of one template take turns on its row, and `If-Match` tells the loser. A call that is repeated with
the same request id gets the answer of the first. Dying before the commit leaves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from rota_chassis.errors import Conflict, InvalidArgument, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_tasks import answers
from rota_tasks.preconditions import require_version
from rota_tasks.templates import domain, queries, store
from rota_tasks.templates.checking import problems
from rota_tasks.templates.content import MAX_BYTES
from rota_tasks.templates.domain import Template, TemplateCreated
from rota_tasks.templates.messages import content_json, event_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.templates.checking import Problem
    from rota_tasks.templates.content import Content
    from rota_tasks.templates.domain import TemplateEvent


async def create_template(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    workspace_id: UUID,
    name: str,
    description: str,
    content: Content,
    project_id: UUID | None,
    request: Request | None,
    answer_of: Callable[[Template], bytes],
) -> bytes:
    """Save a template, made from what is in a project if one is given; the answer.

    Raises:
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        InvalidArgument: the content contradicts itself (code INVALID_TEMPLATE).
        Conflict: it is too large (code TEMPLATE_TOO_LARGE).
        Unprocessable: the request id was used for another content.
    """
    await tasks.memberships.require(user.user_id, workspace_id, WRITERS)
    require_sound(content)
    now = tasks.clock.now()
    template = Template(
        id=uuid7(),
        workspace_id=workspace_id,
        name=name,
        description=description,
        content=content,
        **domain.counted(content),
        project_id=project_id,
        created_by=user.user_id,
        created_at=now,
        updated_at=now,
    )
    async with tasks.database.transaction() as work:

        async def act() -> bytes:
            await _apply(work, [TemplateCreated(template)])
            return answer_of(template)

        return await answers.once(work, request, act, workspace_id=workspace_id, user_id=user.user_id)


async def edit_template(
    tasks: Tasks, user: UserPrincipal, *, template_id: UUID, changes: Mapping[str, Any], if_match: str
) -> Template:
    """Set name, description or content.

    Raises:
        NotFound: it does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        InvalidArgument: the content contradicts itself (code INVALID_TEMPLATE).
        Conflict: it is too large (code TEMPLATE_TOO_LARGE).
        PreconditionFailed: its entity tag is another.
    """
    await queries.get_template(tasks, user, template_id=template_id)
    if "content" in changes:
        require_sound(changes["content"])
    async with tasks.database.transaction() as work:
        template = await _lock(work, user, template_id, if_match)
        events = domain.edit(template, changes, now=tasks.clock.now())
        await _apply(work, events)
        return events[-1].template if events else template


async def delete_template(tasks: Tasks, user: UserPrincipal, *, template_id: UUID, if_match: str) -> None:
    """Delete a template.

    Raises:
        NotFound: it does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: its entity tag is another.
    """
    await queries.get_template(tasks, user, template_id=template_id)
    async with tasks.database.transaction() as work:
        template = await _lock(work, user, template_id, if_match)
        await _apply(work, domain.delete(template, now=tasks.clock.now()))


def require_sound(content: Content) -> None:
    """Return if a content can be made.

    Raises:
        InvalidArgument: it contradicts itself (code INVALID_TEMPLATE).
        Conflict: it is too large (code TEMPLATE_TOO_LARGE).
    """
    found = problems(content)
    if found:
        raise invalid("The template cannot be made as it is; look at `errors`.", found)
    if len(orjson.dumps(content_json(content))) > MAX_BYTES:
        raise Conflict(f"A template has at most {MAX_BYTES:,} bytes; make several.", code="TEMPLATE_TOO_LARGE")


def invalid(detail: str, found: Sequence[Problem]) -> InvalidArgument:
    """The error that tells of problems of a content (code INVALID_TEMPLATE), of the first hundred."""
    return InvalidArgument(
        detail,
        code="INVALID_TEMPLATE",
        violations=[Violation(f"content.{each.field}", each.description, each.reason) for each in found[:100]],
    )


async def _lock(work: UnitOfWork, user: UserPrincipal, template_id: UUID, if_match: str) -> Template:
    found = await store.lock(work, user_id=user.user_id, template_id=template_id)
    if found is None:
        raise queries.no_such_template()
    template, role = found
    require_role(role, WRITERS)
    require_version(if_match, version=template.version, etag=template.etag)
    return template


async def _apply(work: UnitOfWork, events: Sequence[TemplateEvent]) -> None:
    for event in events:
        work.append(event_message(event))
        await store.project(work, event)
