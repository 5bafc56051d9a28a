"""What the gateway reads from its environment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field
from rota_chassis.settings import ServiceSettings

from rota_gateway.ratelimit.gcra import Quota
from rota_gateway.routes import RateClass

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUOTA = r"^[1-9][0-9]{0,8}/[1-9][0-9]{0,5}s$"


class GatewaySettings(ServiceSettings):
    """The gateway's environment, on top of what all services share.

    Attributes:
        http_host: address to listen on.
        http_port: TCP port to listen on; 0 takes any free one.
        body_limit_bytes: longest request body.
        trusted_proxies: addresses of proxies, comma-separated, whose X-Forwarded-For is believed; "*" for any.
        cors_origins: origins that browsers may call from, comma-separated; "*" for any, empty for none.
        access_log: whether each request writes a line.
        drain_notice_s: how long /readyz says 503 before the listener stops, for load balancers to notice.
        rate_read: calls a user may make at once, and the seconds in which as many come back; the same below.
        rate_credential: counted per client address.
        live_queue: events that wait for a slow web socket before it is closed.
    """

    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=0, le=65535)
    body_limit_bytes: int = Field(default=1024 * 1024, ge=1024)
    trusted_proxies: str = ""
    cors_origins: str = "*"
    access_log: bool = True
    drain_notice_s: float = Field(default=0.2, ge=0)
    rate_read: str = Field(default="600/10s", pattern=_QUOTA)
    rate_write: str = Field(default="300/10s", pattern=_QUOTA)
    rate_credential: str = Field(default="60/60s", pattern=_QUOTA)
    live_queue: int = Field(default=1000, ge=1)

    @property
    def quotas(self) -> Mapping[RateClass, Quota]:
        """The quota of each rate class."""
        texts = {
            RateClass.READ: self.rate_read,
            RateClass.WRITE: self.rate_write,
            RateClass.CREDENTIAL: self.rate_credential,
        }
        return {rate_class: _quota(rate_class, text) for rate_class, text in texts.items()}

    @property
    def allowed_origins(self) -> frozenset[str]:
        """`cors_origins`, apart."""
        return frozenset(origin.strip().rstrip("/") for origin in self.cors_origins.split(",") if origin.strip())


def _quota(rate_class: RateClass, text: str) -> Quota:
    limit, window = re.findall(r"[0-9]+", text)
    return Quota(rate_class.value, int(limit), int(window))
