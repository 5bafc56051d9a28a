"""Asks a service for its health (gRPC health protocol): `python -m rota_chassis.health 127.0.0.1:9000`."""

from __future__ import annotations

import asyncio
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rota_chassis.errors import RotaError


async def is_serving(channel: grpc.aio.Channel, *, timeout_s: float = 2.0) -> bool:
    """Whether the service behind the channel says SERVING in time."""
    stub = health_pb2_grpc.HealthStub(channel)
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
    except (grpc.aio.AioRpcError, RotaError):
        return False
    serving: bool = answer.status == health_pb2.HealthCheckResponse.SERVING
    return serving


async def _main(target: str) -> int:
    async with grpc.aio.insecure_channel(target) as channel:
        return 0 if await is_serving(channel) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(sys.argv[1])))
