"""What keeps a copy of a workspace up to date."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from rota_chassis.errors import Gone, NotFound

from rota_tasks.sync import kinds, store
from rota_tasks.sync.domain import NOTHING, WORKSPACE, Change, Cursor, Page, Token, access, advanced, fit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.sync.domain import Horizon
    from rota_tasks.tasks.dependencies import Tasks

    _Found = dict[tuple[str, UUID], Change]


async def sync(tasks: Tasks, user: UserPrincipal, *, workspace_id: UUID, token: Token | None, limit: int) -> Page:
    """The next changes of a workspace, at most `limit`; all that is there, when there is no token.

    Raises:
        NotFound: the user does not belong to the workspace, and has not read it before.
        Gone: the log is not the one that the token was made for, or the user sees other projects than then (code
            SYNC_TOKEN_GONE).
    """
    try:
        await tasks.memberships.require(user.user_id, workspace_id)
    except NotFound:
        if token is None:
            raise
        version = await store.membership_version(tasks.database, workspace_id=workspace_id, user_id=user.user_id)
        left = Token(workspace_id, token.epoch, None, token.access)
        return Page([Change(WORKSPACE, workspace_id, version)], left, has_more=False)
    # Before anything is read, so that what changes meanwhile lies behind it.
    horizon = await store.horizon(tasks.database, workspace_id=workspace_id, user_id=user.user_id)
    cursor = token.cursor if token is not None else None
    if token is not None and cursor is not None and (token.epoch != horizon.epoch or cursor.xid > horizon.end):
        raise Gone(
            "The data has been restored from a backup since; begin again without `since`.", code="SYNC_TOKEN_GONE"
        )
    if token is not None and cursor is not None and not token.access.still_is(horizon):
        raise Gone("Other projects are private to you now; begin again without `since`.", code="SYNC_TOKEN_GONE")
    cursor = cursor or Cursor(horizon.decided, reading=True)
    found: _Found = {}
    if cursor.reading:
        cursor = await _read(tasks, user, workspace_id, cursor, found, limit=limit)
    has_more = cursor.reading
    if not cursor.reading:
        cursor, has_more = await _follow(
            tasks, user, workspace_id, cursor, found, horizon=horizon, limit=limit - len(found)
        )
    return Page(list(found.values()), Token(workspace_id, horizon.epoch, cursor, access(horizon)), has_more)


async def _read(
    tasks: Tasks, user: UserPrincipal, workspace_id: UUID, cursor: Cursor, found: _Found, *, limit: int
) -> Cursor:
    """Go on with a first reading; the cursor behind it, which is no longer reading when all has been read."""
    names = list(kinds.KINDS)
    for name in names[names.index(cursor.kind) if cursor.kind else 0 :]:
        last = cursor.id if name == cursor.kind else NOTHING
        room = limit - len(found)
        things = await kinds.after(
            tasks.database, name, workspace_id=workspace_id, user_id=user.user_id, last=last, limit=room + 1
        )
        fitting = things[: min(room, fit(found.values(), things))]
        found.update({(name, each.id): each for each in fitting})
        if len(things) > len(fitting):
            return Cursor(cursor.xid, kind=name, id=fitting[-1].id if fitting else last, reading=True)
    return Cursor(cursor.xid)


async def _follow(
    tasks: Tasks,
    user: UserPrincipal,
    workspace_id: UUID,
    cursor: Cursor,
    found: _Found,
    *,
    horizon: Horizon,
    limit: int,
) -> tuple[Cursor, bool]:
    """Go on with the log; the cursor behind what is settled, and whether more of that is there."""
    touched = await store.touched(
        tasks.database,
        workspace_id=workspace_id,
        user_id=user.user_id,
        hidden=horizon.hidden,
        after=cursor,
        limit=limit + 1,
    )
    changes = await _now(tasks, user, workspace_id, [touch.cursor for touch in touched[:limit]])
    fitting = changes[: fit(found.values(), changes)]
    told = touched[:limit]
    if len(fitting) < len(changes):
        left = {(each.kind, each.id) for each in changes[len(fitting) :]}
        # Up to the first touch of what is left for the next page.
        told = list(takewhile(lambda touch: (touch.cursor.kind, touch.cursor.id) not in left, told))
    found.update({(each.kind, each.id): each for each in fitting})
    cursor = advanced(cursor, told)
    if len(told) == len(touched) and cursor.xid < horizon.decided:
        # All of the log below the horizon has been read, also what is not for the user.
        cursor = Cursor(horizon.decided)
    return cursor, len(touched) > len(told) and touched[len(told)].settled


async def _now(tasks: Tasks, user: UserPrincipal, workspace_id: UUID, touched: Sequence[Cursor]) -> Sequence[Change]:
    """Each thing that was touched as it now is, once, in the order of their first touch."""
    keys = list(dict.fromkeys((each.kind, each.id) for each in touched))
    there: _Found = {}
    for name in dict.fromkeys(name for name, _ in keys):
        things = await kinds.among(
            tasks.database,
            name,
            workspace_id=workspace_id,
            user_id=user.user_id,
            ids=[each for kind, each in keys if kind == name],
        )
        there.update({(name, each): thing for each, thing in things.items()})
    gone = [each for kind, each in keys if (kind, each) not in there]
    versions = await store.versions(tasks.database, workspace_id=workspace_id, ids=gone)
    return [there.get(key) or Change(*key, versions.get(key[1], 1)) for key in keys]
