"""rota.scheduler.v1.ConcurrencyKeyService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.scheduler.v1 import allocation_pb2, allocation_pb2_grpc
from rota_chassis.identity import require_user

from rota_scheduler.concurrency_keys import commands, queries
from rota_scheduler.concurrency_keys.messages import key_message
from rota_scheduler.runs.allocation import RateLimit

if TYPE_CHECKING:
    from rota_chassis.identity import UserPrincipal
    from rota_chassis.pagination import PageTokens

    from rota_scheduler.resource_pools.dependencies import ResourcePools


class ConcurrencyKeyServicer(allocation_pb2_grpc.ConcurrencyKeyServiceServicer):
    """Serves concurrency keys."""

    def __init__(self, keys: ResourcePools, page_tokens: PageTokens) -> None:
        self._keys = keys
        self._page_tokens = page_tokens

    async def ListConcurrencyKeys(
        self, request: allocation_pb2.ListConcurrencyKeysRequest, _context: Any
    ) -> allocation_pb2.ListConcurrencyKeysResponse:
        user = require_user()
        workspace_id = _workspace(request, user)
        page = self._page_tokens.page(request, bound_to=["concurrency keys", user.user_id, workspace_id])
        found = await queries.list_concurrency_keys(
            self._keys, user, workspace_id=workspace_id, limit=page.limit, after=page.cursor(str) or ""
        )
        rows, token = page.cut(found, lambda last: [last.key])
        return allocation_pb2.ListConcurrencyKeysResponse(
            concurrency_keys=map(key_message, rows), next_page_token=token
        )

    async def PutConcurrencyKey(
        self, request: allocation_pb2.PutConcurrencyKeyRequest, _context: Any
    ) -> allocation_pb2.PutConcurrencyKeyResponse:
        user = require_user()
        rate = request.rate_limit
        key = await commands.put_concurrency_key(
            self._keys,
            user,
            workspace_id=_workspace(request, user),
            key=request.key,
            concurrency_limit=request.concurrency_limit if request.HasField("concurrency_limit") else None,
            rate_limit=RateLimit(rate.limit, rate.period_s) if request.HasField("rate_limit") else None,
        )
        return allocation_pb2.PutConcurrencyKeyResponse(concurrency_key=key_message(key))

    async def DeleteConcurrencyKey(
        self, request: allocation_pb2.DeleteConcurrencyKeyRequest, _context: Any
    ) -> allocation_pb2.DeleteConcurrencyKeyResponse:
        user = require_user()
        await commands.delete_concurrency_key(self._keys, user, workspace_id=_workspace(request, user), key=request.key)
        return allocation_pb2.DeleteConcurrencyKeyResponse()


def _workspace(request: Any, user: UserPrincipal) -> UUID:
    return UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id
