"""Structured logs: one JSON object a line on standard output, with the trace and the principal of the request."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from opentelemetry import trace

from rota_chassis.identity import current_principal

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, Processor

_SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie")


def configure(service: str, *, level: str = "info", output: str = "json") -> None:
    """Send structlog and the standard library's logging through one pipeline.

    Args:
        service: Name in every line.
        level: "debug", "info", "warning" or "error".
        output: "json" for machines, "console" for people.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_request,
        _redact,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(timestamp_key="time")
        if output == "console"
        else structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str).decode())
    )

    def add_service(_logger: object, _name: str, event: EventDict) -> EventDict:
        return {"service": service, **event}

    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, add_service, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)


def logger(name: str) -> FilteringBoundLogger:
    """A logger; `logger(__name__).info("relay.stopped", position=7)`: a dotted name, then facts."""
    bound: FilteringBoundLogger = structlog.get_logger(name)
    return bound


def _add_request(_logger: object, _name: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
    principal = current_principal()
    if principal is not None:
        event["principal"] = principal.actor
    return event


def _redact(_logger: object, _name: str, event: EventDict) -> EventDict:
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: Any, value: Any) -> Any:
    if isinstance(key, str) and any(word in key.lower() for word in _SECRET_WORDS):
        return "[redacted]"
    if isinstance(value, dict):
        return {each: _redacted(each, inner) for each, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(None, inner) for inner in value]
    return value
