"""A gRPC server with the pipeline, health and reflection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_reflection.v1alpha import reflection

from rota_chassis.rpc.pipeline import LONGEST_RPC_S, Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota_chassis.tokens import TokenVerifier

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_METADATA_BYTES = 64 * 1024
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", 4 * MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
    ("grpc.so_reuseport", 0),
    # Callers look for new replicas now and then: a connection takes no new calls after a while, and lasts as long as
    # the longest stream on it.
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 3_600_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class RpcServer:
    """Listens for RPCs; says NOT_SERVING until told otherwise.

    Args:
        verifier: Tells who calls.
        longest_rpc_s: After this many seconds a call is given up, whatever deadline its caller set.
    """

    def __init__(self, verifier: TokenVerifier, *, longest_rpc_s: float = LONGEST_RPC_S) -> None:
        self._server = grpc.aio.server(interceptors=[Pipeline(verifier, longest_rpc_s)], options=OPTIONS)
        self._health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._services = [HEALTH_SERVICE, reflection.SERVICE_NAME]

    def add(self, register: Callable[[Any, grpc.aio.Server], None], servicer: object) -> None:
        """Serve a servicer; `register` is the generated `add_…Servicer_to_server`."""
        register(servicer, self._server)
        # The path of a proto is its package and the import name of what is generated from it.
        package = register.__module__.rpartition(".")[0]
        self._services.append(f"{package}.{register.__name__.removeprefix('add_').removesuffix('Servicer_to_server')}")

    async def start(self, address: str) -> None:
        """Listen on `host:port` or `unix:/path`.

        Raises:
            OSError: the address is taken or cannot be used.
        """
        reflection.enable_server_reflection(self._services, self._server)
        await self.set_serving(False)
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"{address} cannot be listened on: it is taken, or no address of this machine") from error
        await self._server.start()

    async def set_serving(self, serving: bool) -> None:  # noqa: FBT001 (the one thing it sets)
        """Answer health checks with SERVING or NOT_SERVING."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set("", status)

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, let those under way end for at most `grace_s` seconds."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
