"""rota.auth.v1.UserService."""

# The contract hands each method a request and a context, used or not.
# ruff: noqa: ARG002

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.auth.v1 import users_pb2, users_pb2_grpc
from rota_chassis.identity import require_user

from rota_auth.users import commands, queries
from rota_auth.users.messages import user_message

if TYPE_CHECKING:
    from collections.abc import Collection

    import grpc
    from rota_chassis.cache import Cache
    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database


class UserServicer(users_pb2_grpc.UserServiceServicer):
    """Serves profiles."""

    def __init__(self, database: Database, cache: Cache, clock: Clock, time_zones: Collection[str]) -> None:
        self._database = database
        self._cache = cache
        self._clock = clock
        self._time_zones = time_zones

    async def GetMe(
        self, request: users_pb2.GetMeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> users_pb2.GetMeResponse:
        caller = require_user()
        user = await queries.get_me(
            self._database, self._cache, user_id=caller.user_id, workspace_id=caller.workspace_id
        )
        return users_pb2.GetMeResponse(user=user)

    async def UpdateMe(
        self, request: users_pb2.UpdateMeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> users_pb2.UpdateMeResponse:
        user = await commands.update_me(
            self._database,
            self._cache,
            user_id=require_user().user_id,
            changes={path: getattr(request, path, "") for path in request.update_mask.paths},
            if_match=request.if_match,
            time_zones=self._time_zones,
            now=self._clock.now(),
        )
        return users_pb2.UpdateMeResponse(user=user_message(user))

    async def BatchGetUsers(
        self, request: users_pb2.BatchGetUsersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> users_pb2.BatchGetUsersResponse:
        users = await queries.batch_get_users(self._database, [UUID(each) for each in request.ids])
        return users_pb2.BatchGetUsersResponse(users=map(user_message, users))
