"""A channel to another service: identity, trace and deadline on every call, errors as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from rota_chassis.errors import from_rpc_error
from rota_chassis.rpc.server import MAX_MESSAGE_BYTES, MAX_METADATA_BYTES
from rota_chassis.telemetry import traceparent

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from rota_chassis.tokens import ServiceTokens

DEFAULT_TIMEOUT_S = 5.0
OPTIONS = (
    ("grpc.max_receive_message_length", 4 * MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A service that restarts is found again within a fraction of a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # How long one attempt may take, a busy service included.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Each channel its own connections, or channels of one process would share a broken one's backoff.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)


def open_channel(target: str, tokens: ServiceTokens) -> grpc.aio.Channel:
    """A channel to `host:port` or `unix:/path`; calls raise `RotaError`."""
    interceptors: Any = [_CallInterceptor(tokens)]
    return grpc.aio.insecure_channel(target, options=OPTIONS, interceptors=interceptors)


def acting_for(
    tokens: ServiceTokens, user_id: UUID, workspace_id: UUID, *, causation_depth: int = 0
) -> tuple[tuple[str, str], ...]:
    """The metadata of a call that this service makes for a user (see `ServiceTokens.acting_for`)."""
    token = tokens.acting_for(user_id, workspace_id, causation_depth=causation_depth)
    return (("authorization", f"Bearer {token}"),)


class _CallInterceptor(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    def __init__(self, tokens: ServiceTokens) -> None:
        self._tokens = tokens

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()))
        if "authorization" not in metadata:
            metadata.add("authorization", f"Bearer {self._tokens.own()}")
        parent = traceparent()
        if parent is not None:
            metadata.add("traceparent", parent)
        details = client_call_details._replace(
            metadata=metadata, timeout=client_call_details.timeout or DEFAULT_TIMEOUT_S
        )
        try:
            call = await continuation(details, request)
            return await call
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
