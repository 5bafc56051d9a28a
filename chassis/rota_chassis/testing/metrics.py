"""What this process counts."""

from __future__ import annotations

from prometheus_client import REGISTRY


def set_aside(what: str) -> float:
    """How many rows of a kind (the label `what` of `rota_rows_set_aside_total`) this process has set aside."""
    return REGISTRY.get_sample_value("rota_rows_set_aside_total", {"what": what}) or 0.0
