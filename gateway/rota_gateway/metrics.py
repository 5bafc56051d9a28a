"""What the gateway counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUEST_SECONDS = Histogram(
    "rota_http_request_seconds",
    "Time from a request's headers to the end of its answer.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REQUESTS_UNDER_WAY = Gauge("rota_http_requests_under_way", "Requests that are being answered.")
RATE_LIMITED = Counter("rota_rate_limited", "Requests refused by the rate limiter.", ["policy"])
RATE_LIMIT_FALLBACKS = Counter(
    "rota_rate_limit_fallbacks", "Times the rate limiter lost Redis and went on with a local share of the limits."
)
BREAKER_STATE = Gauge("rota_breaker_state", "0 closed, 1 half-open, 2 open.", ["service"])
LIVE_SOCKETS = Gauge("rota_live_sockets", "Open web sockets.", ["channel"])
LIVE_EVENTS = Counter("rota_live_events", "Events handed to web sockets.", ["channel"])
LIVE_CLOSED = Counter("rota_live_closed", "Web sockets closed by the gateway, by close code.", ["code"])
