from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from rota_chassis.ids import uuid7

if TYPE_CHECKING:
    import httpx
    from rota_chassis.testing.services import User
    from rota_chassis.testing.tokens import TokenIssuer
    from tests.integration.conftest import System

JSON = {"content-type": "application/json"}


async def send(system: System, user: User, body: Any, path: str = "/api/v1/tasks", **headers: str) -> httpx.Response:
    """POST a body as it is."""
    sent = {"authorization": f"Bearer {user.token}", **JSON, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return await system.http.post(path, content=body, headers=sent)


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document that an answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["type"] == "urn:rota:problem:" + code.lower().replace("_", "-")
    assert problem["instance"] == answer.request.url.raw_path.decode().partition("?")[0]
    assert problem["trace_id"] == answer.headers["traceparent"].split("-")[1]
    return problem


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b'{"title": "x"', "MALFORMED_JSON", ""),
        (b"{'title': 1}", "MALFORMED_JSON", ""),
        (b'{"title": "\xff"}', "MALFORMED_JSON", ""),
        (b'{"title": "\\ud800"}', "MALFORMED_JSON", ""),
        (b"[" * 100_000, "MALFORMED_JSON", ""),
        (b'{"title": NaN}', "MALFORMED_JSON", ""),
        (b"[]", "INVALID_REQUEST", ""),
        (b"null", "INVALID_REQUEST", ""),
        (b'{"title": "x", "colour": 1}', "INVALID_REQUEST", "/colour"),
        (b'{"title": 1}', "INVALID_REQUEST", "/title"),
        (b'{"title": true}', "INVALID_REQUEST", "/title"),
        (b'{"title": {"a": ' + b"[" * 200 + b"]" * 200 + b"}}", "INVALID_REQUEST", "/title"),
        (b'{"title": "a\\u0000b"}', "INVALID_REQUEST", "/title"),
        (b'{"title": "x", "due_at": "tomorrow"}', "INVALID_REQUEST", "/due_at"),
        (b'{"title": "x", "due_at": "2026-02-30T00:00:00Z"}', "INVALID_REQUEST", "/due_at"),
        (b'{"title": "x", "priority": "extreme"}', "INVALID_REQUEST", "/priority"),
        (b'{"title": "x", "assignee_ids": ["x", 1]}', "INVALID_REQUEST", "/assignee_ids/1"),
        (b'{"title": ""}', "INVALID_FIELDS", "/title"),
        (b"{}", "INVALID_FIELDS", "/title"),
        (b'{"title": "' + b"x" * 501 + b'"}', "INVALID_FIELDS", "/title"),
        (b'{"title": "x", "project_id": "not-a-uuid"}', "INVALID_FIELDS", "/project_id"),
        (b'{"title": "x", "assignee_ids": ["not-a-uuid"]}', "INVALID_FIELDS", "/assignee_ids/0"),
    ],
)
async def test_a_body_that_is_wrong_is_refused_with_a_pointer_and_goes_nowhere(
    system: System, body: bytes, code: str, pointer: str
) -> None:
    problem = assert_problem(await send(system, system.user(), body), 400, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert not system.tasks.asked


async def test_an_absent_body_is_an_empty_one(system: System) -> None:
    problem = assert_problem(await send(system, system.user(), b""), 400, "INVALID_FIELDS")
    assert [each["pointer"] for each in problem["errors"]] == ["/title"]


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_what_changes_a_thing_needs_a_body(system: System, method: str) -> None:
    headers = {"authorization": f"Bearer {system.user().token}", **JSON}
    answer = await system.http.request(method, f"/api/v1/tasks/{uuid7()}", headers=headers)
    assert_problem(answer, 400, "BODY_REQUIRED")


async def test_what_always_has_a_value_is_not_cleared(system: System) -> None:
    headers = {"authorization": f"Bearer {system.user().token}", **JSON}
    path = f"/api/v1/tasks/{uuid7()}/comments/{uuid7()}"
    problem = assert_problem(
        await system.http.patch(path, content=b'{"text": null}', headers=headers), 400, "INVALID_FIELDS"
    )
    assert problem["errors"] == [{"pointer": "/text", "code": "required", "detail": "cannot be cleared"}]


async def test_a_body_is_refused_where_the_contract_has_none(system: System) -> None:
    user = system.user()
    path = f"/api/v1/tasks/{uuid7()}/complete"
    assert_problem(await send(system, user, b'{"why": "because"}', path), 400, "BODY_NOT_ALLOWED")
    assert_problem(await send(system, user, b"{}", path), 404, "TASK_NOT_FOUND")


async def test_a_large_body_is_refused_whether_its_length_is_declared_or_not(system: System) -> None:
    user = system.user()
    large = b'{"title": "' + b"x" * 10_000_000 + b'"}'
    assert_problem(await send(system, user, large), 413, "BODY_TOO_LARGE")

    async def chunks() -> Any:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    assert_problem(await send(system, user, chunks()), 413, "BODY_TOO_LARGE")
    assert not system.tasks.asked


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": ""},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "application/json; charset=utf-16"},
        {"content_type": "application/merge-patch+json"},
    ],
)
async def test_a_body_of_another_type_is_refused(system: System, headers: dict[str, str]) -> None:
    answer = await send(system, system.user(), b'{"title": "x"}', **headers)
    assert_problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert answer.headers["accept"] == "application/json"


async def test_a_compressed_body_is_refused(system: System) -> None:
    answer = await send(system, system.user(), b'{"title": "x"}', content_encoding="gzip")
    assert_problem(answer, 415, "UNSUPPORTED_CONTENT_ENCODING")


async def test_json_in_utf_8_and_merge_patches_are_accepted(system: System) -> None:
    user = system.user()
    created = await send(system, user, b'{"title": "x"}', content_type="application/json; charset=UTF-8")
    assert created.status_code == 201
    patched = await system.http.patch(
        created.headers["location"],
        content=b'{"title": "y", "due_at": null}',
        headers={
            "authorization": f"Bearer {user.token}",
            "content-type": "application/merge-patch+json",
            "if-match": '"1"',
        },
    )
    assert patched.status_code == 200, patched.text
    asked = system.tasks.asked[-1]
    assert sorted(asked.update_mask.paths) == ["due_at", "title"]
    assert asked.if_match == '"1"'


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("?colour=red", "INVALID_REQUEST", "colour"),
        ("?page_size=many", "INVALID_REQUEST", "page_size"),
        ("?page_size=99999999999", "INVALID_REQUEST", "page_size"),
        ("?page_size=1&page_size=2", "INVALID_REQUEST", "page_size"),
        ("?status=later", "INVALID_REQUEST", "status"),
        ("?page_token=%00", "INVALID_REQUEST", "page_token"),
        ("?page_size=201", "INVALID_FIELDS", "page_size"),
        ("?workspace_id=x", "INVALID_FIELDS", "workspace_id"),
    ],
)
async def test_a_parameter_that_is_wrong_is_refused_by_its_name(
    system: System, query: str, code: str, parameter: str
) -> None:
    problem = assert_problem(await system.get("/api/v1/tasks" + query, system.user()), 400, code)
    assert problem["errors"][0]["parameter"] == parameter


@pytest.mark.parametrize("query", ["?page_token=%ff", "?" + "&".join(f"a{n}=1" for n in range(101))])
async def test_a_query_that_is_no_query_is_refused(system: System, query: str) -> None:
    assert_problem(await system.get("/api/v1/tasks" + query, system.user()), 400, "MALFORMED_QUERY")


async def test_a_path_parameter_that_is_wrong_is_refused_by_its_name(system: System) -> None:
    user = system.user()
    problem = assert_problem(await system.get("/api/v1/tasks/not-a-uuid", user), 400, "INVALID_FIELDS")
    assert problem["errors"][0]["parameter"] == "id"
    assert_problem(await system.get("/api/v1/tasks/a%00b", user), 400, "INVALID_REQUEST")
    assert_problem(await system.get("/api/v1/tasks/%ff", user), 400, "MALFORMED_PATH")
    assert_problem(await system.get("/api/v1/tasks/a%2Fb", user), 400, "INVALID_FIELDS")


async def test_a_header_that_is_wrong_is_refused_by_its_name(system: System) -> None:
    answer = await send(system, system.user(), b'{"title": "x"}', idempotency_key="x" * 256)
    assert assert_problem(answer, 400, "INVALID_FIELDS")["errors"][0]["header"] == "Idempotency-Key"


async def test_long_targets_and_headers_are_refused(system: System) -> None:
    user = system.user()
    assert_problem(await system.get("/api/v1/tasks?page_token=" + "x" * 10_000, user), 414, "URI_TOO_LONG")
    assert_problem(await system.get("/api/v1/tasks", user, cookie="x" * 40_000), 431, "HEADERS_TOO_LARGE")


async def test_paths_and_methods_that_are_not_there_say_so(system: System) -> None:
    assert_problem(await system.http.get("/api/v1/nothing"), 404, "PATH_NOT_FOUND")
    assert_problem(await system.http.get("/api/v1/tasks/"), 404, "PATH_NOT_FOUND")
    answer = await system.http.request("TRACE", "/api/v1/tasks")
    assert_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    answer = await system.http.options("/api/v1/tasks")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


def forged(user: User, **header: Any) -> dict[str, str]:
    """Tokens that must not hold, by what is wrong with them."""
    claims = jwt.decode(user.token, options={"verify_signature": False})
    other = ec.generate_private_key(ec.SECP256R1())
    usual = {"typ": "at+jwt", "kid": "test", **header}
    head, _, signature = user.token.rpartition(".")
    return {
        "alg none": jwt.encode(claims, None, algorithm="none", headers=usual),
        "wrong key": jwt.encode(claims, other, algorithm="ES256", headers=usual),
        "unknown key": jwt.encode(claims, other, algorithm="ES256", headers={**usual, "kid": "other"}),
        "another algorithm": jwt.encode(claims, "a secret of the services, for tests", headers=usual),
        "another type": jwt.encode(claims, other, algorithm="ES256", headers={**usual, "typ": "JWT"}),
        "changed": f"{head[:-2]}xx.{signature}",
        "no signature": f"{head}.",
        "garbage": "garbage",
        "not ascii": "caf\u00e9",
    }


async def test_tokens_that_do_not_hold_are_refused_with_a_challenge(system: System, issuer: TokenIssuer) -> None:
    user = system.user()
    expired = issuer.access_token(user.id, user.workspace_id, lifetime_s=-60)
    foreign = issuer.access_token(user.id, user.workspace_id, aud="elsewhere")
    tokens = {**forged(user), "another audience": foreign}
    for what, token in tokens.items():
        answer = await system.http.get(
            "/api/v1/tasks", headers=[(b"authorization", b"Bearer " + token.encode("latin-1"))]
        )
        assert_problem(answer, 401, "INVALID_TOKEN")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], what
    answer = await system.http.get("/api/v1/tasks", headers={"authorization": f"Bearer {expired}"})
    assert_problem(answer, 401, "TOKEN_EXPIRED")
    assert not system.tasks.asked


async def test_no_token_and_other_schemes_are_refused_with_a_challenge(system: System) -> None:
    answer = await system.http.get("/api/v1/tasks")
    assert_problem(answer, 401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == 'Bearer realm="rota"'
    for header in ("Basic dXNlcjpwYXNz", "Bearer", "token"):
        answer = await system.http.get("/api/v1/tasks", headers={"authorization": header})
        assert_problem(answer, 401, "INVALID_TOKEN")


async def test_a_token_of_a_service_is_none_of_a_user(system: System) -> None:
    from rota_chassis.tokens import ServiceTokens  # noqa: PLC0415

    user = system.user()
    tokens = ServiceTokens("tasks", system.settings.service_secret.get_secret_value())
    for token in (tokens.own(), tokens.acting_for(user.id, user.workspace_id)):
        answer = await system.http.get("/api/v1/tasks", headers={"authorization": f"Bearer {token}"})
        assert_problem(answer, 401, "INVALID_TOKEN")
