"""The first stage: gives every request an id and a trace (W3C Trace Context), and its answer both."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context, trace
from rota_chassis.ids import uuid7
from rota_chassis.telemetry import TRACER, extract

from rota_gateway.exchange import Exchange, attach, client_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")


class Tracing:
    """Makes the exchange.

    Args:
        app: the next stage.
        recording: whether spans go to a collector. If not, ids are made and passed on without making spans.
    """

    def __init__(self, app: ASGIApp, *, recording: bool) -> None:
        self._app = app
        self._begin = _recorded if recording else _passed_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        started = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else str(uuid7())
        parent = headers.get(b"traceparent", b"").decode("latin-1")
        with self._begin(scope, parent) as span:
            at = span.get_span_context()
            trace_id = f"{at.trace_id:032x}"
            traceparent = f"00-{trace_id}-{at.span_id:016x}-{at.trace_flags:02x}"
            exchange = Exchange(
                method=scope["method"],
                path=scope["raw_path"].decode("ascii", "replace"),
                headers=headers,
                started=started,
                request_id=request_id,
                trace_id=trace_id,
                traceparent=traceparent,
                address=client_address(scope),
            )
            attach(scope, exchange)
            added = exchange.answer_headers
            added[b"x-request-id"] = request_id.encode()
            added[b"traceparent"] = traceparent.encode()

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    exchange.status = message["status"]
                    message["headers"] = [*message.get("headers", ()), *added.items()]
                await send(message)

            try:
                await self._app(scope, receive, answer)
            finally:
                if span.is_recording():
                    span.update_name(f"{exchange.method} {exchange.route}")
                    span.set_attribute("http.route", exchange.route)
                    span.set_attribute("http.response.status_code", exchange.status)


@contextmanager
def _recorded(scope: Scope, parent: str) -> Iterator[trace.Span]:
    carrier = {"traceparent": parent} if parent else {}
    # The route, which is added later, not the path: that of a share link is a secret.
    attributes = {"http.request.method": scope["method"]}
    with TRACER.start_as_current_span(
        scope["method"], context=extract(carrier), kind=trace.SpanKind.SERVER, attributes=attributes
    ) as span:
        yield span


@contextmanager
def _passed_on(_scope: Scope, parent: str) -> Iterator[trace.Span]:
    match = _TRACEPARENT.fullmatch(parent)
    at = trace.SpanContext(
        trace_id=int(match[1], 16) if match else secrets.randbits(128) or 1,
        span_id=secrets.randbits(64) or 1,
        is_remote=False,
        trace_flags=trace.TraceFlags(int(match[2], 16) & 1 if match else 0),
    )
    span = trace.NonRecordingSpan(at)
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield span
    finally:
        context.detach(token)
