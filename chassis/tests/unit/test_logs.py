from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext
from rota_chassis import logs
from rota_chassis.identity import Principal, acting_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Lines = Callable[[], list[dict[str, Any]]]

TRACE = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, configuration = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configuration)


def started(capsys: pytest.CaptureFixture[str]) -> Lines:
    logs.configure("tasks")
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_event_is_one_json_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = started(capsys)
    logs.logger("x").info("relay.stopped", position=7, reason="two\nlines", odd=object)
    (line,) = lines()
    assert line["event"] == "relay.stopped"
    assert (line["service"], line["level"], line["position"], line["reason"]) == ("tasks", "info", 7, "two\nlines")
    assert line["time"].endswith("Z")


def test_other_libraries_log_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    lines = started(capsys)
    logging.getLogger("asyncpg").warning("lost %s", "everything")
    (line,) = lines()
    assert (line["event"], line["level"], line["service"]) == ("lost everything", "warning", "tasks")


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("tasks", level="warning")
    logs.logger("y").info("quiet")
    logging.getLogger("z").info("quiet")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "key", ["password", "new_password", "access_token", "Authorization", "service_secret", "Cookie"]
)
def test_secrets_are_not_written(capsys: pytest.CaptureFixture[str], key: str) -> None:
    lines = started(capsys)
    logs.logger("x").info("user.logged_in", **{key: "hunter2"}, user="ada")
    (line,) = lines()
    assert (line[key], line["user"]) == ("[redacted]", "ada")


def test_secrets_inside_of_values_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    lines = started(capsys)
    logs.logger("x").info("rpc.sent", headers={"authorization": "Bearer x", "nested": [{"token": "x"}], "host": "h"})
    (line,) = lines()
    assert line["headers"] == {"authorization": "[redacted]", "nested": [{"token": "[redacted]"}], "host": "h"}


def test_the_request_is_named_by_its_trace_and_its_caller(capsys: pytest.CaptureFixture[str]) -> None:
    lines = started(capsys)
    with trace.use_span(NonRecordingSpan(TRACE)), acting_as(Principal(service="scheduler")):
        logs.logger("x").info("rpc.answered")
    logs.logger("x").info("outside")
    within, outside = lines()
    assert (within["trace_id"], within["principal"]) == (f"{0xABC:032x}", "service:scheduler")
    assert "trace_id" not in outside
    assert "principal" not in outside


def test_an_exception_is_part_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = started(capsys)
    try:
        {}["gone"]
    except KeyError:
        logs.logger("x").exception("rpc.crashed")
    (line,) = lines()
    assert line["exception"].endswith("KeyError: 'gone'")


def test_people_get_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("tasks", output="console")
    logs.logger("x").info("service.started", address="here")
    written = capsys.readouterr().out
    assert "service.started" in written
    assert not written.startswith("{")
