"""What an HTTP call sends, and what is kept of its answer."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from rota_chassis.ids import uuid7
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.actions.http import KEPT_CHARACTERS, CallHttp, open_client
from rota_scheduler.actions.signing import signature_headers
from rota_scheduler.runs.domain import Failed, Succeeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    import pytest
    from rota_scheduler.runs.domain import Run

    MakeRun = Callable[[Mapping[str, Any]], Run]

NOW_S = 1_767_225_600.75
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def call(url: str, *, timeout_s: int | None = None, **fields: Any) -> dict[str, Any]:
    return {"create_task": None, "http": {"url": url, **fields}, "timeout_s": timeout_s}


async def attempt(run: Run) -> Any:
    async with open_client(EgressPolicy(allow_private=True)) as client:
        return await CallHttp(client, now_s=lambda: NOW_S)(run)


@asynccontextmanager
async def answering(head: bytes, chunk: bytes, *, times: int) -> AsyncIterator[tuple[str, list[int]]]:
    """An endpoint that answers any call at such length; yields its address and how many bytes it got rid of."""
    written = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        try:
            for _ in range(times):
                writer.write(chunk)
                await writer.drain()
                written[0] += len(chunk)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", written
    finally:
        server.close()


async def test_headers_text_and_signature_are_sent(make_run: MakeRun, listening: Any) -> None:
    async with listening(200) as endpoint:
        run = make_run(
            call(
                endpoint.url,
                text="two plants ą",
                signing_secret=SECRET,
                headers=[{"name": "Authorization", "value": "Bearer x", "sensitive": True}],
            )
        )
        assert await attempt(run) == Succeeded(http_status=200, response="{}")
    (made,) = endpoint.calls
    assert (made["body"], made["content-type"]) == ("two plants ą", "text/plain; charset=utf-8")
    assert (made["authorization"], made["idempotency-key"]) == ("Bearer x", str(run.id))
    signed = signature_headers(SECRET, str(run.id), int(NOW_S), "two plants ą".encode())
    assert {name: made[name] for name in signed} == signed


async def test_a_header_may_say_what_the_body_is(make_run: MakeRun, listening: Any) -> None:
    async with listening(200) as endpoint:
        headers = [{"name": "Content-Type", "value": "application/xml"}]
        await attempt(make_run(call(endpoint.url, text="<a/>", headers=headers)))
    assert endpoint.calls[0]["content-type"] == "application/xml"


async def test_a_template_is_made_of_the_run_the_same_in_each_attempt(make_run: MakeRun, listening: Any) -> None:
    body = {"at": "${run.nominal_time}", "run": ["the run ${run.id}", "${run.manual}", "$${run.id}"], "n": 1}
    async with listening(500, 200, 200) as endpoint:
        run = make_run(call(endpoint.url, body=body, template=True, signing_secret=SECRET))
        await attempt(run)
        await attempt(replace(run, attempts=2, fence=2))
        await attempt(make_run(call(endpoint.url, body=body)))
    first, second, plain = endpoint.calls
    assert orjson.loads(first["body"]) == {
        "at": run.nominal_time.isoformat().replace("+00:00", "Z"),
        "run": [f"the run {run.id}", False, "${run.id}"],
        "n": 1,
    }
    assert first["body"] == second["body"]
    assert first["webhook-signature"] == second["webhook-signature"]
    assert orjson.loads(plain["body"]) == body


async def test_a_template_without_a_value_fails_at_once(make_run: MakeRun, listening: Any) -> None:
    async with listening(200) as endpoint:
        failed = await attempt(make_run(call(endpoint.url, text="${run.manual + 1}", template=True)))
    assert isinstance(failed, Failed)
    assert not failed.retryable
    assert endpoint.calls == []


async def test_success_is_what_the_action_calls_so(make_run: MakeRun, listening: Any) -> None:
    async with listening(409, 200) as endpoint:
        run = make_run(call(endpoint.url, success=["201", "400-410"]))
        assert isinstance(await attempt(run), Succeeded)
        failed = await attempt(run)
    assert isinstance(failed, Failed)
    assert (failed.http_status, failed.cause, failed.retryable) == (200, "200", False)


async def test_an_endpoint_that_says_nothing_is_left_after_the_time_of_the_action(
    make_run: MakeRun, listening: Any
) -> None:
    async with listening(200) as endpoint:
        endpoint.silent = True
        failed = await attempt(make_run(call(endpoint.url, timeout_s=1)))
    assert failed == Failed("No answer within 1 s.", retryable=True, cause="timeout")


async def test_a_refused_connection_may_pass(make_run: MakeRun, listening: Any) -> None:
    async with listening(200) as endpoint:
        pass
    failed = await attempt(make_run(call(endpoint.url)))
    assert (failed.retryable, failed.cause) == (True, "connection")


async def test_an_answer_of_a_hundred_megabytes_is_not_read_to_its_end(make_run: MakeRun) -> None:
    length = 100_000_000
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n".encode()
    async with answering(head, b"x" * 100_000, times=length // 100_000) as (url, written):
        outcome = await attempt(make_run(call(url)))
    assert outcome == Succeeded(http_status=200, response="x" * KEPT_CHARACTERS)
    assert written[0] < length / 4


async def test_an_answer_that_is_no_text_is_kept_as_far_as_it_is(make_run: MakeRun) -> None:
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    async with answering(head, b"a\x00\xff", times=1) as (url, _):
        assert await attempt(make_run(call(url))) == Succeeded(http_status=200, response="a\ufffd\ufffd")


async def test_an_answer_that_breaks_off_counts_by_its_status(make_run: MakeRun) -> None:
    async with answering(b"HTTP/1.1 201 OK\r\ncontent-length: 50\r\n\r\n", b"abc", times=1) as (url, _):
        assert await attempt(make_run(call(url))) == Succeeded(http_status=201, response="abc")


async def test_a_redirect_to_a_clouds_metadata_is_not_followed(make_run: MakeRun) -> None:
    head = b"HTTP/1.1 302 X\r\nlocation: http://169.254.169.254/latest/\r\ncontent-length: 0\r\n\r\n"
    async with answering(head, b"", times=0) as (url, _):
        failed = await attempt(make_run(call(url)))
    assert (failed.http_status, failed.retryable) == (302, False)


async def test_attempts_of_one_run_have_one_key_and_those_of_two_have_two(make_run: MakeRun, listening: Any) -> None:
    async with listening(200) as endpoint:
        run = make_run(call(endpoint.url))
        await asyncio.gather(attempt(run), attempt(run), attempt(replace(run, id=uuid7())))
    keys = [made["idempotency-key"] for made in endpoint.calls]
    assert (len(keys), len(set(keys))) == (3, 2)


async def test_no_secret_is_logged(make_run: MakeRun, listening: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with listening(500) as endpoint:
        headers = [{"name": "authorization", "value": "Bearer hidden", "sensitive": True}]
        await attempt(make_run(call(endpoint.url, headers=headers, signing_secret=SECRET)))
    assert "hidden" not in caplog.text
    assert SECRET not in caplog.text
