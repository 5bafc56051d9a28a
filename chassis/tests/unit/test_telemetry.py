from __future__ import annotations

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from rota_chassis import telemetry

CONTEXT = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False, trace_flags=TraceFlags(1))
PARENT = f"00-{0xABC:032x}-{0xDEF:016x}-01"


def test_outside_of_a_trace_there_is_nothing_to_pass_on() -> None:
    assert telemetry.traceparent() is None
    assert telemetry.trace_id() is None


def test_within_a_trace_its_id_is_passed_on() -> None:
    with trace.use_span(NonRecordingSpan(CONTEXT)):
        assert telemetry.traceparent() == PARENT
        assert telemetry.trace_id() == f"{0xABC:032x}"


def test_what_was_passed_on_is_the_same_trace() -> None:
    found = trace.get_current_span(telemetry.extract({"traceparent": PARENT})).get_span_context()
    assert (found.trace_id, found.span_id, found.is_remote) == (0xABC, 0xDEF, True)


def test_a_header_that_makes_no_sense_begins_no_trace() -> None:
    for value in ("", "x", "00-0-0-00", f"00-{0:032x}-{0:016x}-00"):
        assert not trace.get_current_span(telemetry.extract({"traceparent": value})).get_span_context().is_valid


def test_without_a_collector_spans_have_ids_and_belong_to_the_trace_that_was_passed_on() -> None:
    telemetry.configure("test", otlp_endpoint=None, metrics_listen=None)
    with telemetry.TRACER.start_as_current_span("first") as first, telemetry.TRACER.start_as_current_span("second"):
        second = trace.get_current_span().get_span_context()
        assert second.trace_id == first.get_span_context().trace_id
        assert second.span_id != first.get_span_context().span_id
        assert telemetry.traceparent() == f"00-{second.trace_id:032x}-{second.span_id:016x}-00"
    with telemetry.TRACER.start_as_current_span("another") as other:
        assert other.get_span_context().is_valid
        assert other.get_span_context().trace_id != second.trace_id
    passed_on = telemetry.extract({"traceparent": PARENT})
    with telemetry.TRACER.start_as_current_span("called", context=passed_on) as called:
        assert called.get_span_context().trace_id == CONTEXT.trace_id
        assert not called.is_recording()
    assert telemetry.trace_id() is None
