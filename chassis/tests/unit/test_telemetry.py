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
