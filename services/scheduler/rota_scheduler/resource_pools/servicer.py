"""rota.scheduler.v1.ResourcePoolService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.scheduler.v1 import allocation_pb2, allocation_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user
from rota_chassis.requests import request_of

from rota_scheduler.resource_pools import commands, queries
from rota_scheduler.resource_pools.messages import pool_message

if TYPE_CHECKING:
    from rota_chassis.identity import UserPrincipal
    from rota_chassis.pagination import PageTokens

    from rota_scheduler.resource_pools.dependencies import ResourcePools


class ResourcePoolServicer(allocation_pb2_grpc.ResourcePoolServiceServicer):
    """Serves resource pools."""

    def __init__(self, pools: ResourcePools, page_tokens: PageTokens) -> None:
        self._pools = pools
        self._page_tokens = page_tokens

    async def CreateResourcePool(
        self, request: allocation_pb2.CreateResourcePoolRequest, _context: Any
    ) -> allocation_pb2.CreateResourcePoolResponse:
        user = require_user()
        pool = await commands.create_resource_pool(
            self._pools,
            user,
            workspace_id=_workspace(request, user),
            name=request.name,
            units=request.units,
            description=request.description,
            request=request_of(request),
        )
        return allocation_pb2.CreateResourcePoolResponse(resource_pool=pool_message(pool))

    async def ListResourcePools(
        self, request: allocation_pb2.ListResourcePoolsRequest, _context: Any
    ) -> allocation_pb2.ListResourcePoolsResponse:
        user = require_user()
        workspace_id = _workspace(request, user)
        page = self._page_tokens.page(request, bound_to=["resource pools", user.user_id, workspace_id])
        found = await queries.list_resource_pools(
            self._pools, user, workspace_id=workspace_id, limit=page.limit, after=page.cursor(str) or ""
        )
        rows, token = page.cut(found, lambda last: [last.name])
        return allocation_pb2.ListResourcePoolsResponse(resource_pools=map(pool_message, rows), next_page_token=token)

    async def GetResourcePool(
        self, request: allocation_pb2.GetResourcePoolRequest, _context: Any
    ) -> allocation_pb2.GetResourcePoolResponse:
        user = require_user()
        pool = await queries.get_resource_pool(
            self._pools, user, workspace_id=_workspace(request, user), name=request.name
        )
        return allocation_pb2.GetResourcePoolResponse(resource_pool=pool_message(pool))

    async def UpdateResourcePool(
        self, request: allocation_pb2.UpdateResourcePoolRequest, _context: Any
    ) -> allocation_pb2.UpdateResourcePoolResponse:
        user = require_user()
        named = set(request.update_mask.paths)
        if "units" in named and not request.HasField("units"):
            raise InvalidArgument(
                "A resource pool always has a number of units.",
                code="INVALID_FIELDS",
                violations=[Violation("units", "cannot be cleared", "required")],
            )
        pool = await commands.update_resource_pool(
            self._pools,
            user,
            workspace_id=_workspace(request, user),
            name=request.name,
            units=request.units if "units" in named else None,
            description=request.description if "description" in named else None,
            if_match=request.if_match,
        )
        return allocation_pb2.UpdateResourcePoolResponse(resource_pool=pool_message(pool))

    async def DeleteResourcePool(
        self, request: allocation_pb2.DeleteResourcePoolRequest, _context: Any
    ) -> allocation_pb2.DeleteResourcePoolResponse:
        user = require_user()
        await commands.delete_resource_pool(
            self._pools, user, workspace_id=_workspace(request, user), name=request.name
        )
        return allocation_pb2.DeleteResourcePoolResponse()


def _workspace(request: Any, user: UserPrincipal) -> UUID:
    return UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id
