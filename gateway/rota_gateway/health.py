"""Whether the gateway lives, and whether the whole system serves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rota_chassis.health import is_serving

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc

CHECK_TIMEOUT_S = 1.0
READY = "ready"
UNAVAILABLE = "unavailable"


class Health:
    """Asks every service for its health (gRPC health protocol).

    Args:
        channels: to the services, by name.
    """

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._channels = channels
        self._draining = False

    def drain(self) -> None:
        """From now on the gateway is not ready."""
        self._draining = True

    async def services(self) -> dict[str, str]:
        """Each process, this one included: "ready" or "unavailable"."""
        answers = await asyncio.gather(
            *(is_serving(channel, timeout_s=CHECK_TIMEOUT_S) for channel in self._channels.values())
        )
        found = {"gateway": UNAVAILABLE if self._draining else READY}
        for name, serving in zip(self._channels, answers, strict=True):
            found[name] = READY if serving else UNAVAILABLE
        return found
