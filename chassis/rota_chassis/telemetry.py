"""Traces (OpenTelemetry, W3C trace context) and metrics (Prometheus)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram, start_http_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.util._decorator import _AgnosticContextManager

TRACER = trace.get_tracer("rota")

RPC_SECONDS = Histogram(
    "rota_rpc_seconds",
    "Time a service took to answer an RPC.",
    ["method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
EVENTS_PUBLISHED = Counter("rota_events_published", "Events that the relay handed to JetStream.")
EVENT_RELAY_LAG = Histogram(
    "rota_event_relay_lag_seconds",
    "From when an event happened to when JetStream had it.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300),
)
EVENTS_HANDLED = Counter("rota_events_handled", "Events consumed, by outcome.", ["type", "outcome"])
ROWS_SET_ASIDE = Counter(
    "rota_rows_set_aside", "Due rows that could not be handled and do not come again by themselves.", ["what"]
)
CACHE_REQUESTS = Counter("rota_cache_requests", "Cache look-ups, by outcome.", ["outcome"])
REPLICA_READS = Counter(
    "rota_replica_reads",
    "Reads that a replica might serve, by who did, and why not the replica: away, behind, late, refused or unknown.",
    ["served_by", "why_not"],
)
REPLICA_LAG = Gauge("rota_replica_lag_bytes", "How much of the primary's log the replica had not replayed.")

_propagator = TraceContextTextMapPropagator()


def configure(service: str, *, otlp_endpoint: str | None, metrics_listen: str | None) -> Callable[[], None]:
    """Start tracing and, when asked, the metrics endpoint.

    Without an OTLP endpoint nothing is recorded, but trace ids are still made and passed on, so that logs and problem
    documents can be matched.

    Returns:
        A function that flushes and stops what was started.
    """
    stops: list[Callable[[], object]] = []
    if otlp_endpoint is None:
        trace.set_tracer_provider(_Unrecorded())
    else:
        # Imported here: the exporter brings an HTTP client that a system without a collector need not load.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        provider = TracerProvider(
            resource=Resource.create({"service.name": f"rota-{service}"}),
            sampler=sampling.ParentBased(sampling.ALWAYS_ON),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint)))
        trace.set_tracer_provider(provider)
        stops.append(provider.shutdown)
    if metrics_listen is not None:
        host, _, port = metrics_listen.rpartition(":")
        server, _thread = start_http_server(int(port), host or "0.0.0.0")
        stops = [server.shutdown, server.server_close, *stops]

    def stop() -> None:
        for each in stops:
            each()

    return stop


class _Unrecorded(trace.TracerProvider):
    """Of a system without a collector: its spans have ids, and no more is known of them.

    The SDK does the same with a sampler that is always off, and takes five times as long for it: more than anything
    else that is done for a run.
    """

    def get_tracer(self, *_arguments: Any, **_options: Any) -> trace.Tracer:
        return _UnrecordedTracer()


class _UnrecordedTracer(trace.Tracer):
    _ids = RandomIdGenerator()

    def start_span(self, name: str, context: Context | None = None, *_arguments: Any, **_options: Any) -> trace.Span:  # noqa: ARG002 (the base class's signature)
        parent = trace.get_current_span(context).get_span_context()
        return trace.NonRecordingSpan(
            trace.SpanContext(
                parent.trace_id if parent.is_valid else self._ids.generate_trace_id(),
                self._ids.generate_span_id(),
                is_remote=False,
                trace_state=parent.trace_state,
            )
        )

    def start_as_current_span(
        self, name: str, context: Context | None = None, *_arguments: Any, **_options: Any
    ) -> _AgnosticContextManager[trace.Span]:
        return trace.use_span(self.start_span(name, context))


def extract(carrier: Mapping[str, str]) -> Context:
    """The context that a `traceparent` header carries."""
    return _propagator.extract(carrier)


def traceparent() -> str | None:
    """The current trace as a `traceparent` value (W3C Trace Context), or None outside of a trace."""
    context = trace.get_current_span().get_span_context()
    # Written here: the propagator takes several times as long, and every event carries one.
    trace_and_span = f"{context.trace_id:032x}-{context.span_id:016x}"
    return f"00-{trace_and_span}-{context.trace_flags:02x}" if context.is_valid else None


def trace_id() -> str | None:
    """The current trace id, 32 hexadecimal digits, or None outside of a trace."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None
