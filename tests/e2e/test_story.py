"""The story, told from outside: HTTP, WebSocket, mail and NATS."""

from __future__ import annotations

import asyncio
import email
import random
from collections import Counter
from email import policy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from rota_chassis.testing.waiting import eventually
from rota_cli.demo.story import Account, tell
from whole import SERVICES, System, started
from world import Witness, read_stream

if TYPE_CHECKING:
    from email.message import EmailMessage

pytestmark = pytest.mark.e2e

TASK_SEEN_WITHIN_S = 0.1
REMINDER_LATE_AT_MOST_S = 0.5


def mails_to(system: System, address: str) -> list[EmailMessage]:
    messages = [email.message_from_bytes(path.read_bytes(), policy=policy.default) for path in system.mails]
    return [message for message in messages if message["To"].addresses[0].addr_spec == address]


async def check_mails(system: System, account: Account) -> None:
    """Grace has a mail of the assignment and the reminder, Ada one of the completion: each once."""
    for person, count in ((account.grace, 2), (account.ada, 1)):
        await eventually(lambda person=person, count=count: len(mails_to(system, person.email)) >= count, timeout_s=30)
        by_id = Counter(message["Message-ID"] for message in mails_to(system, person.email))
        assert len(by_id) == count
        assert set(by_id.values()) == {1}


async def witness_of(system: System, account: Account, *, at_least: int = 0) -> Witness:
    workspaces = (account.ada.workspace_id, account.grace.workspace_id)

    async def read() -> Witness | None:
        witness = await read_stream(system.nats_url, workspaces)
        return witness if len(witness.events) >= at_least else None

    found = await eventually(read, timeout_s=30)
    assert found is not None
    return found


def check_events(witness: Witness, account: Account, asyncapi: dict[str, Any]) -> None:
    """What the story did is what the world was told, once."""
    witness.check(asyncapi)
    of_task = [event for event in witness.events if str(event.aggregate_id) == account.task_id]
    assert [event.type for event in of_task] == ["task.created", "task.completed"]
    assert len(witness.of("reminder.fired")) == 1
    notified = Counter(
        (each.data.notification.user_id, each.data.notification.kind) for each in witness.of("notification.created")
    )
    assert notified == {
        (account.grace.id, "task.assigned"): 1,
        (account.grace.id, "task.reminder"): 1,
        (account.ada.id, "task.completed"): 1,
    }
    created = Counter(event.data.task.id for event in witness.of("task.created"))
    assert set(account.scheduled_task_ids) <= set(created)
    assert set(created.values()) == {1}
    fired = [event.data.run.nominal_time.seconds for event in witness.of("run.finished")]
    assert len(fired) == len(set(fired))
    assert len(created) == 1 + len({event.data.run.task_id for event in witness.of("run.finished")})


async def test_a_task_travels_through_every_service(system: System) -> None:
    said: list[str] = []
    account = await tell(system.base_url, said.append)
    assert account.task_seen_after_s < TASK_SEEN_WITHIN_S
    assert -0.01 < account.reminder_late_s < REMINDER_LATE_AT_MOST_S
    await check_mails(system, account)
    witness = await witness_of(system, account)
    check_events(witness, account, await system.document("asyncapi"))
    for name, channel in account.channels.items():
        offsets = [each.frame["offset"] for each in channel.received]
        assert offsets == sorted(set(offsets)), name


async def test_the_story_holds_while_each_service_in_turn_is_killed() -> None:
    with TemporaryDirectory(prefix="rota-e2e-") as folder, started(Path(folder) / "data") as system:
        await system.until_ready()
        chance = random.Random(11)  # noqa: S311 (when to kill, not a secret)
        killed: list[str] = []

        async def kill_in_turn() -> None:
            for service in (*SERVICES, *SERVICES):
                await asyncio.sleep(chance.uniform(0.1, 0.7))
                system.kill(service)
                killed.append(service)
                await system.until_ready()

        killing = asyncio.create_task(kill_in_turn())
        accounts = []
        while not killing.done():
            accounts.append(await tell(system.base_url, lambda _: None))
        await killing
        assert Counter(killed) == dict.fromkeys(SERVICES, 2)
        asyncapi = await system.document("asyncapi")
        for account in accounts:
            assert {name: channel.gaps for name, channel in account.channels.items() if channel.gaps} == {}
            await check_mails(system, account)
            check_events(await witness_of(system, account), account, asyncapi)
