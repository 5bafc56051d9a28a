"""Puts the auth service together."""

from __future__ import annotations

import zoneinfo
from typing import TYPE_CHECKING

from rota.auth.v1 import auth_pb2_grpc, invitations_pb2_grpc, users_pb2_grpc, workspaces_pb2_grpc
from rota_chassis.service import Service
from rota_chassis.settings import Environment

from rota_auth.invitations.servicer import InvitationServicer
from rota_auth.keys.store import load_signing_key
from rota_auth.passwords.hashing import Passwords
from rota_auth.sessions.access import AccessTokens
from rota_auth.sessions.accounts import ensure_admin
from rota_auth.sessions.commands import Sessions
from rota_auth.sessions.servicer import AuthServicer
from rota_auth.settings import ADMIN_NAME, AuthSettings
from rota_auth.users.servicer import UserServicer
from rota_auth.workspaces.servicer import WorkspaceServicer

if TYPE_CHECKING:
    from rota_chassis.service import Runtime


async def build(runtime: Runtime[AuthSettings]) -> None:
    """Add auth's servicers, and make the first administrator when there is one to make.

    Raises:
        ValueError: there is no usable signing key; the message says what to set.
    """
    settings = runtime.settings
    key = load_signing_key(
        pem=settings.signing_key.get_secret_value() if settings.signing_key else None,
        path=settings.signing_key_file,
        may_create=settings.environment is not Environment.PRODUCTION,
    )
    runtime.keys = key
    passwords = Passwords()
    if settings.admin is not None:
        email, password = settings.admin
        await ensure_admin(
            runtime.database, passwords, email=email, password=password, name=ADMIN_NAME, clock=runtime.clock
        )
    sessions = Sessions(runtime.database, passwords, AccessTokens(key, settings.access_token_lifetime_s), runtime.clock)
    runtime.serve(auth_pb2_grpc.add_AuthServiceServicer_to_server, AuthServicer(sessions, [key.jwk]))
    runtime.serve(
        users_pb2_grpc.add_UserServiceServicer_to_server,
        UserServicer(runtime.database, runtime.cache, runtime.clock, frozenset(zoneinfo.available_timezones())),
    )
    runtime.serve(
        workspaces_pb2_grpc.add_WorkspaceServiceServicer_to_server,
        WorkspaceServicer(runtime.database, runtime.page_tokens, runtime.clock),
    )
    runtime.serve(
        invitations_pb2_grpc.add_InvitationServiceServicer_to_server,
        InvitationServicer(runtime.database, runtime.page_tokens, runtime.clock),
    )


SERVICE = Service("auth", AuthSettings, build)
