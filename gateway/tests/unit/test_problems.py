from __future__ import annotations

import orjson
from rota.tasks.v1 import tasks_pb2
from rota_chassis import codec
from rota_chassis.errors import Internal, NotFound, PreconditionFailed, Unauthenticated, Unavailable
from rota_gateway.exchange import Exchange
from rota_gateway.problems import Problem, challenge, invalid_request, problem_of

EXCHANGE = Exchange(
    method="GET",
    path="/api/v1/tasks/7",
    headers={},
    started=0,
    request_id="r",
    trace_id="a" * 32,
    traceparent="",
    address="",
)


def test_a_problem_is_a_document_of_rfc_9457() -> None:
    problem = Problem(404, "TASK_NOT_FOUND", "There is no such task.", extensions={"service": "tasks"})
    assert orjson.loads(problem.document(EXCHANGE)) == {
        "type": "urn:rota:problem:task-not-found",
        "title": "Task not found",
        "status": 404,
        "detail": "There is no such task.",
        "instance": "/api/v1/tasks/7",
        "code": "TASK_NOT_FOUND",
        "trace_id": "a" * 32,
        "service": "tasks",
    }


def test_what_the_codec_found_says_where_it_is() -> None:
    found = [
        codec.Problem("/title", "wrong_type", "must be a string"),
        codec.Problem(None, "repeated_parameter", "must be given once", "page_size"),
        codec.Problem(None, "invalid_unicode", "must not contain lone surrogates", "If-Match"),
    ]
    problem = invalid_request(found, frozenset({"If-Match"})).problem
    assert problem.detail == "/title must be a string (2 more)."
    assert [set(error) - {"code", "detail"} for error in problem.errors] == [{"pointer"}, {"parameter"}, {"header"}]


def test_an_error_keeps_its_code_and_its_status() -> None:
    problem = problem_of(NotFound("There is no such task.", code="TASK_NOT_FOUND"))
    assert (problem.status, problem.code, problem.headers) == (404, "TASK_NOT_FOUND", {})


def test_a_stale_entity_tag_is_answered_with_the_one_there_is_and_what_it_is_of() -> None:
    task = tasks_pb2.Task(id="7", title="Feed the cat", status=tasks_pb2.TASK_STATUS_TODO)
    metadata = {"etag": '"v2"'}
    problem = problem_of(PreconditionFailed("It has changed.", code="ETAG_MISMATCH", metadata=metadata, current=task))
    document = orjson.loads(problem.document(EXCHANGE))
    assert (document["status"], document["code"], document["etag"]) == (412, "ETAG_MISMATCH", '"v2"')
    assert document["current"] == codec.encoder(tasks_pb2.Task)(task)
    assert document["current"]["status"] == "todo"


def test_a_fault_of_ours_tells_nothing() -> None:
    problem = problem_of(Internal("the password is hunter2", code="SECRET"))
    assert (problem.status, problem.code) == (500, "INTERNAL")
    assert "hunter2" not in problem.detail


def test_what_a_channel_says_of_addresses_is_not_passed_on() -> None:
    problem = problem_of(Unavailable("connect failed: 10.0.0.7:9001"))
    assert "10.0.0.7" not in problem.detail
    assert problem.headers[b"retry-after"] == b"1"


def test_what_is_not_available_says_which_and_when_to_come_back() -> None:
    error = Unavailable("…", code="UPSTREAM_UNAVAILABLE", metadata={"service": "tasks", "retry_after_s": "7"})
    problem = problem_of(error)
    assert problem.extensions == {"service": "tasks"}
    assert problem.headers[b"retry-after"] == b"7"


def test_a_challenge_says_what_is_wrong_with_a_token_only_when_there_was_one() -> None:
    assert challenge(Unauthenticated("Send a token.")) == b'Bearer realm="rota"'
    expired = challenge(Unauthenticated("The token is over.", code="TOKEN_EXPIRED"))
    assert expired == b'Bearer realm="rota", error="invalid_token", error_description="The token is over."'
