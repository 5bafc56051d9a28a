from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING

import pytest
from rota_chassis.embedded.nats import Nats
from rota_chassis.events.stream import ensure_streams
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from rota_chassis.testing.services import User
    from rota_chassis.testing.tokens import TokenIssuer
    from tests.integration.conftest import RunSystem, System
    from tests.integration.live_channels.conftest import ConnectPublisher, Listening, Publisher


async def test_members_see_the_events_of_their_workspaces_and_no_others(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    system.join(grace, ada.workspace_id)
    async with listening(system, "tasks", ada) as first, listening(system, "tasks", grace) as second:
        ready = await first.frame()
        assert ready == {"type": "ready", "offset": 0, "epoch": ready["epoch"], "user_id": str(ada.id)}
        assert (await second.frame())["type"] == "ready"
        await events.task(grace.workspace_id, "hers")
        shared = await events.task(ada.workspace_id, "shared")
        event = await first.frame()
        assert event["offset"] == shared
        assert event["event"] == "task.created"
        assert event["epoch"] == ready["epoch"]
        assert event["data"]["task"]["title"] == "shared"
        assert await second.offsets(2) == [shared - 1, shared]


async def test_whatever_belongs_to_the_work_is_told_live_and_again_to_whoever_comes_back(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada = system.user()
    types = ["comment.created", "label.updated", "relation.added", "project.created"]
    async with listening(system, "tasks", ada) as listener:
        ready = await listener.frame()
        for event_type in types:
            await events.publish(event_type, ada.workspace_id, {event_type.partition(".")[0]: {"id": "one"}})
        live = [await listener.frame() for _ in types]
        assert [frame["event"] for frame in live] == types
        query = f"?since={ready['offset']}&epoch={ready['epoch']}"
    async with listening(system, "tasks", ada, query) as again:
        await again.frame()
        assert [await again.frame() for _ in types] == live


async def test_notifications_go_to_their_user_only(system: System, listening: Listening, events: Publisher) -> None:
    ada, grace = system.user(), system.user()
    async with listening(system, "notifications", ada) as first, listening(system, "notifications", grace) as second:
        await first.frame()
        await second.frame()
        await events.task(ada.workspace_id)
        await events.notification(grace, "for Grace")
        await events.notification(ada, "for Ada")
        assert (await first.frame())["data"]["notification"]["title"] == "for Ada"
        assert (await second.frame())["data"]["notification"]["title"] == "for Grace"


async def test_an_event_arrives_within_a_few_milliseconds(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada = system.user()
    async with listening(system, "tasks", ada) as listener:
        await listener.frame()
        took = []
        for _ in range(20):
            begun = time.perf_counter()
            await events.task(ada.workspace_id)
            await listener.frame()
            took.append(time.perf_counter() - begun)
        assert sorted(took)[10] < 0.1, took


async def test_whoever_joins_a_workspace_hears_of_it_at_once_and_stops_when_they_leave(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    async with listening(system, "tasks", grace) as listener:
        await listener.frame()
        # Services publish side by side: this one is before the news that Grace has joined.
        early = await events.task(ada.workspace_id, "early")
        membership = system.join(grace, ada.workspace_id, version=5)
        await events.membership("member_added", membership)
        late = await events.task(ada.workspace_id, "late")
        assert await listener.offsets(2) == [early, late]
        membership.version = 6
        await events.membership("member_removed", membership)
        await events.task(ada.workspace_id, "not for Grace")
        own = await events.task(grace.workspace_id, "own")
        assert await listener.offsets(1) == [own]


async def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    async with listening(system, "tasks", ada) as listener:
        epoch = (await listener.frame())["epoch"]
        seen = await events.task(ada.workspace_id)
        assert await listener.offsets(1) == [seen]
    await events.task(grace.workspace_id)
    missed = [await events.task(ada.workspace_id) for _ in range(3)]
    async with listening(system, "tasks", ada, f"?since={seen}&epoch={epoch}") as listener:
        ready = await listener.frame()
        assert (ready["type"], ready["offset"]) == ("ready", seen)
        assert await listener.offsets(3) == missed
        assert await listener.offsets(0) == []
        live = await events.task(ada.workspace_id)
        assert await listener.offsets(1) == [live]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.mark.parametrize("channel", ["tasks", "notifications"])
async def test_what_is_no_longer_in_memory_is_replayed_from_the_stream(
    run_system: RunSystem, listening: Listening, fresh_nats_url: str, events: Publisher, channel: str
) -> None:
    async with run_system(nats_url=fresh_nats_url) as system:
        ada, grace = system.user(), system.user()

    async def tell(user: User) -> int:
        return await (events.task(user.workspace_id) if channel == "tasks" else events.notification(user))

    missed = []
    for _ in range(300):
        missed.append(await tell(ada))
        await tell(grace)
    # A gateway that has just started has nothing in memory.
    async with run_system(nats_url=fresh_nats_url) as system:
        system.join(ada, ada.workspace_id)
        async with listening(system, channel, ada, f"?since={missed[9]}") as listener:
            assert (await listener.frame())["offset"] == missed[9]
            live = await tell(ada)
            assert await listener.offsets(291) == [*missed[10:], live]


@pytest.mark.parametrize(
    ("query", "reason"),
    [("?since=7&epoch=another", "stream_replaced"), ("?since=999999", "offset_unknown")],
)
async def test_a_client_that_cannot_resume_is_told_to_reset(
    system: System, listening: Listening, events: Publisher, query: str, reason: str
) -> None:
    ada = system.user()
    offset = await events.task(ada.workspace_id)
    async with listening(system, "tasks", ada, query) as listener:
        ready = await listener.frame()
        reset = await listener.frame()
        assert reset == {"type": "reset", "reason": reason, "offset": ready["offset"], "epoch": ready["epoch"]}
        live = await events.task(ada.workspace_id)
        assert await listener.offsets(live - max(offset, ready["offset"])) == list(range(ready["offset"] + 1, live + 1))


async def test_events_that_have_expired_lead_to_a_reset(
    run_system: RunSystem, listening: Listening, fresh_nats_url: str, events: Publisher
) -> None:
    workspace_id = "00000000-0000-7000-8000-000000000000"
    for _ in range(3):
        await events.task(workspace_id)
    await events.jetstream.purge_stream("ROTA_EVENTS")
    async with (
        run_system(nats_url=fresh_nats_url) as system,
        listening(system, "tasks", system.user(), "?since=1") as listener,
    ):
        assert (await listener.frame())["type"] == "ready"
        assert (await listener.frame())["reason"] == "events_expired"


async def test_the_first_frame_may_carry_the_token(system: System, listening: Listening, events: Publisher) -> None:
    ada = system.user()
    async with listening(system, "tasks", None) as listener:
        await listener.socket.send(json.dumps({"type": "auth", "token": ada.token}))
        assert (await listener.frame())["user_id"] == str(ada.id)
        offset = await events.task(ada.workspace_id)
        assert await listener.offsets(1) == [offset]
        await listener.socket.send(json.dumps({"type": "pong"}))
        assert await listener.offsets(0) == []


async def test_a_socket_is_closed_when_its_token_is_over(
    system: System, listening: Listening, issuer: TokenIssuer
) -> None:
    ada = system.user()
    token = issuer.access_token(ada.id, ada.workspace_id, lifetime_s=1)
    async with listening(system, "tasks", None, token=token) as listener:
        assert (await listener.frame())["type"] == "ready"
        error = await listener.frame()
        assert (error["type"], error["code"]) == ("error", "TOKEN_EXPIRED")
        assert await listener.closed() == 4401


async def test_a_newer_token_of_the_same_user_keeps_the_socket_open(
    system: System, listening: Listening, events: Publisher, issuer: TokenIssuer
) -> None:
    ada = system.user()
    token = issuer.access_token(ada.id, ada.workspace_id, lifetime_s=1)
    async with listening(system, "tasks", None, token=token) as listener:
        await listener.frame()
        await listener.socket.send(json.dumps({"type": "auth", "token": ada.token}))
        with pytest.raises(TimeoutError):
            await listener.frame(timeout_s=1.5)
        offset = await events.task(ada.workspace_id)
        assert await listener.offsets(1) == [offset]


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
async def test_a_token_that_does_not_hold_closes_the_socket(system: System, listening: Listening, token: str) -> None:
    async with listening(system, "tasks", None, token=token) as listener:
        assert (await listener.frame())["code"] == "INVALID_TOKEN"
        assert await listener.closed() == 4401


@pytest.mark.parametrize("sent", ["nonsense", "[]", "{}", '{"type": "subscribe"}', b"\x00", '{"type": "auth"}'])
async def test_a_bad_frame_closes_the_socket(system: System, listening: Listening, sent: str | bytes) -> None:
    async with listening(system, "tasks", None) as listener:
        await listener.socket.send(sent)
        assert (await listener.frame())["code"] == "BAD_FRAME"
        assert await listener.closed() == 4400


@pytest.mark.parametrize("query", ["?since=x", "?since=-1", "?other=1", "?since=1&since=2", "?since=", "?since=%ff"])
async def test_a_query_that_is_not_understood_closes_the_socket(
    system: System, listening: Listening, query: str
) -> None:
    async with listening(system, "tasks", system.user(), query) as listener:
        assert (await listener.frame())["code"] == "INVALID_QUERY"
        assert await listener.closed() == 4400


async def test_a_stream_that_was_made_anew_resets_every_socket(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada = system.user()
    async with listening(system, "tasks", ada) as listener:
        before = await listener.frame()
        await events.jetstream.delete_stream("ROTA_EVENTS")
        await ensure_streams(events.jetstream)
        reset = await listener.frame(timeout_s=15)
        assert (reset["type"], reset["reason"]) == ("reset", "stream_replaced")
        assert reset["epoch"] != before["epoch"]
        offset = await events.task(ada.workspace_id)
        assert await listener.offsets(1) == [offset]


async def test_a_slow_client_is_closed_and_resumes_while_others_hear_everything(
    system: System, listening: Listening, events: Publisher
) -> None:
    ada, grace = system.user(), system.user()
    system.join(grace, ada.workspace_id)
    async with listening(system, "tasks", ada) as slow, listening(system, "tasks", grace) as quick:
        ready = await slow.frame()
        await quick.frame()
        slow.socket.transport.pause_reading()
        text = "x" * 50_000
        sent = []
        for _ in range(400):
            sent.append(await events.task(ada.workspace_id, text))
            assert (await quick.frame())["offset"] == sent[-1]
        slow.socket.transport.resume_reading()
        heard = []
        while (frame := await slow.frame())["type"] == "event":
            heard.append(frame["offset"])
        assert (frame["type"], frame["code"]) == ("error", "TOO_SLOW")
        assert await slow.closed() == 4408
    assert heard == sent[: len(heard)]
    async with listening(system, "tasks", ada, f"?since={heard[-1]}&epoch={ready['epoch']}") as back:
        await back.frame()
        assert await back.offsets(len(sent) - len(heard)) == sent[len(heard) :]


async def test_live_events_pause_without_nats_and_go_on_without_a_gap(
    run_system: RunSystem, listening: Listening, server_folder: Path, connect_publisher: ConnectPublisher
) -> None:
    folder = server_folder / "nats-that-restarts"
    folder.mkdir()
    nats = Nats(folder, folder, folder / "nats.log", password="a password", port=free_port())
    await nats.start()
    try:
        async with run_system(nats_url=nats.url) as system, connect_publisher(nats.url) as events:
            await ensure_streams(events.jetstream)
            ada = system.user()
            async with listening(system, "tasks", ada) as listener:
                await listener.frame()
                sent = [await events.task(ada.workspace_id)]
                assert await listener.offsets(1) == sent
                await nats.stop()
                await nats.start()
                await eventually(lambda: events.nats.is_connected)
                sent = [await events.task(ada.workspace_id) for _ in range(5)]
                assert await listener.offsets(5) == sent
    finally:
        nats.hurry()
        await nats.stop()


async def test_sockets_are_told_that_the_gateway_goes_away(
    run_system: RunSystem, listening: Listening, fresh_nats_url: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with run_system(nats_url=fresh_nats_url) as system:
            listener = await stack.enter_async_context(listening(system, "tasks", system.user()))
            await listener.frame()
        assert await listener.closed() == 1001
