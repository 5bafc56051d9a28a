"""What the scheduler measures about itself."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

LATENESS_SECONDS = Histogram(
    "rota_scheduler_lateness_seconds",
    "From the time something was due to the transaction that fired or claimed it.",
    ["what"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
RULES_SET_OFF = Counter("rota_scheduler_rules_set_off", "Events that conditions of rules let through.", ["outcome"])
ATTEMPTS = Counter("rota_scheduler_attempts", "Attempts of runs that ended, by outcome.", ["outcome"])
