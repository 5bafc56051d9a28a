"""What changes saved filters: one function a use case, one transaction each.

Two at once: the row is locked first, so they take turns, and `If-Match` tells the loser. A call that is repeated with
the same request id returns the saved filter of the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.errors import NotFound, PermissionDenied
from rota_chassis.filters.literals import Context
from rota_chassis.ids import uuid7
from rota_chassis.memberships import ADMIN, OWNER, WRITERS, require_role

from rota_tasks.preconditions import require_version
from rota_tasks.saved_filters import domain, queries, store
from rota_tasks.saved_filters.domain import SavedFilter, SavedFilterCreated
from rota_tasks.saved_filters.messages import event_message
from rota_tasks.tasks import requirements
from rota_tasks.tasks.custom import names_in
from rota_tasks.tasks.filtering import filter_of
from rota_tasks.tasks.ordering import order_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_tasks.saved_filters.domain import SavedFilterEvent
    from rota_tasks.tasks.dependencies import Tasks

_MODERATORS = frozenset({OWNER, ADMIN})


async def create_saved_filter(
    tasks: Tasks, user: UserPrincipal, *, workspace_id: UUID, request: Request | None, **fields: Any
) -> SavedFilter:
    """Save a filter.

    Raises:
        NotFound: the workspace or the project does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        InvalidArgument: the filter or the order is none (code INVALID_FILTER or INVALID_ORDER).
        Unprocessable: the request id was used for another content.
    """
    await tasks.memberships.require(user.user_id, workspace_id, WRITERS)
    await _require_meaning(tasks, user, fields)
    now = tasks.clock.now()
    saved = SavedFilter(
        id=uuid7(), workspace_id=workspace_id, owner_id=user.user_id, created_at=now, updated_at=now, **fields
    )
    async with tasks.database.transaction() as work:
        made = await store.REQUESTS.record(
            work, request, workspace_id=workspace_id, user_id=user.user_id, makes=saved.id
        )
        if made is not None:
            return await _made_before(work, user, made)
        await requirements.require_project(work, user, workspace_id, saved.project_id)
        await _apply(work, [SavedFilterCreated(saved)])
    return saved


async def edit_saved_filter(
    tasks: Tasks, user: UserPrincipal, *, saved_filter_id: UUID, changes: Mapping[str, Any], if_match: str
) -> SavedFilter:
    """Set the named fields.

    Raises:
        NotFound: it, or the project, does not exist for the user.
        PermissionDenied: it is another's, or the user's role does not allow writing.
        InvalidArgument: the filter or the order is none (code INVALID_FILTER or INVALID_ORDER).
        PreconditionFailed: its entity tag is another.
    """
    await queries.get_saved_filter(tasks, user, saved_filter_id=saved_filter_id)
    await _require_meaning(tasks, user, changes)
    async with tasks.database.transaction() as work:
        saved = await _lock(work, user, saved_filter_id, if_match)
        await requirements.require_project(work, user, saved.workspace_id, changes.get("project_id"))
        events = domain.edit(saved, changes, now=tasks.clock.now())
        await _apply(work, events)
        return events[-1].saved_filter if events else saved


async def delete_saved_filter(tasks: Tasks, user: UserPrincipal, *, saved_filter_id: UUID, if_match: str) -> None:
    """Delete it.

    Raises:
        NotFound: it does not exist for the user.
        PermissionDenied: it is another's, or the user's role does not allow writing.
        PreconditionFailed: its entity tag is another.
    """
    await queries.get_saved_filter(tasks, user, saved_filter_id=saved_filter_id)
    async with tasks.database.transaction() as work:
        saved = await _lock(work, user, saved_filter_id, if_match)
        await _apply(work, domain.delete(saved, now=tasks.clock.now()))


async def _require_meaning(tasks: Tasks, user: UserPrincipal, fields: Mapping[str, Any]) -> None:
    text, order_by = fields.get("filter", ""), fields.get("order_by", "")
    named = await names_in(tasks.database, user.user_id, text, order_by)
    filter_of(text, Context(tasks.clock.now(), me=user.user_id), {}, named)
    order_of(order_by, named)


async def _lock(work: UnitOfWork, user: UserPrincipal, saved_filter_id: UUID, if_match: str) -> SavedFilter:
    found = await store.lock(work, user_id=user.user_id, saved_filter_id=saved_filter_id)
    if found is None:
        raise queries.no_such_saved_filter()
    saved, role = found
    require_role(role, WRITERS)
    if saved.owner_id != user.user_id and role not in _MODERATORS:
        raise PermissionDenied(
            "Only its owner, and the owners and admins of the workspace, can change this saved filter; save your own.",
            code="SAVED_FILTER_OWNER_REQUIRED",
        )
    require_version(if_match, version=saved.version, etag=saved.etag)
    return saved


async def _apply(work: UnitOfWork, events: Sequence[SavedFilterEvent]) -> None:
    for event in events:
        work.append(event_message(event))
        await store.project(work, event)


async def _made_before(work: UnitOfWork, user: UserPrincipal, saved_filter_id: UUID) -> SavedFilter:
    saved = await store.get(work, user_id=user.user_id, saved_filter_id=saved_filter_id)
    if saved is None:
        raise NotFound("The saved filter that this call made has been deleted.", code="SAVED_FILTER_NOT_FOUND")
    return saved
