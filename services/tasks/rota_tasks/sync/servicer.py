"""rota.tasks.v1.SyncService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import sync_pb2, sync_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user
from rota_chassis.pagination import page_size
from rota_chassis.postgres.routing import replica_allowed

from rota_tasks.sync import queries
from rota_tasks.sync.domain import EVERYTHING, Access, Change, Cursor, Token

if TYPE_CHECKING:
    from rota_chassis.identity import UserPrincipal
    from rota_chassis.pagination import PageTokens

    from rota_tasks.tasks.dependencies import Tasks


# How many parts a token has besides the workspace and the epoch, without and with a cursor.
_OF_NOW = (2, 7)


class SyncServicer(sync_pb2_grpc.SyncServiceServicer):
    """Serves copies of workspaces."""

    def __init__(self, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def Sync(self, request: sync_pb2.SyncRequest, _context: Any) -> sync_pb2.SyncResponse:
        user = require_user()
        token = self._token(request.since, user) if request.since else None
        if request.HasField("workspace_id"):
            workspace_id = UUID(request.workspace_id)
            if token is not None and token.workspace_id != workspace_id:
                raise _invalid_token()
        else:
            workspace_id = token.workspace_id if token is not None else user.workspace_id
        # Its cursors are transactions as the primary sees them.
        with replica_allowed(False):
            page = await queries.sync(
                self._tasks, user, workspace_id=workspace_id, token=token, limit=page_size(request.page_size)
            )
        return sync_pb2.SyncResponse(
            changes=[_change(each) for each in page.changes],
            next_token=self._text(page.next, user),
            has_more=page.has_more,
        )

    def _text(self, token: Token, user: UserPrincipal) -> str:
        parts: list[Any] = [token.workspace_id, token.epoch]
        if token.cursor is not None:
            at = token.cursor
            parts += [at.xid, at.position, at.kind, at.id, at.reading]
        parts += [token.access.newest, token.access.digest]
        return self._page_tokens.encode(parts, bound_to=["sync", user.user_id])

    def _token(self, since: str, user: UserPrincipal) -> Token:
        try:
            workspace_id, epoch, *rest = self._page_tokens.decode(since, bound_to=["sync", user.user_id])
        except InvalidArgument as error:
            raise _invalid_token() from error
        # One from before there were private projects has seen all that there was.
        *at, newest, digest = rest if len(rest) in _OF_NOW else (*rest, EVERYTHING, "")
        cursor = None
        if at:
            xid, position, kind, last, reading = at
            cursor = Cursor(xid, position, kind, UUID(last), reading)
        return Token(UUID(workspace_id), epoch, cursor, Access(UUID(str(newest)), digest))


def _change(change: Change) -> sync_pb2.SyncChange:
    message = sync_pb2.SyncChange(
        kind=change.kind, id=str(change.id), deleted=change.data is None, version=change.version
    )
    if change.data is not None:
        getattr(message.data, change.kind).CopyFrom(change.data)
    return message


def _invalid_token() -> InvalidArgument:
    return InvalidArgument(
        "`since` is not a token that this workspace's copy of yours was given; begin again without it.",
        code="INVALID_SYNC_TOKEN",
        violations=[Violation("since", "is not a token of yours for this workspace", "invalid_sync_token")],
    )
