"""The story: two people, a task that travels through every service, and a schedule."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rota_cli.demo.live import Channel, Received, listening
from rota_cli.demo.people import Api, Person

if TYPE_CHECKING:
    from collections.abc import Callable

REMINDER_AFTER_S = 2.0
SCHEDULED_TASKS = 2


@dataclass
class Account:
    """What happened, for whoever checks it.

    Attributes:
        ada: Who registers first, and assigns.
        grace: Who is invited, and completes.
        task_id: The task.
        task_seen_after_s: From Ada's request to Grace's live channel.
        reminder_late_s: From the reminder's time to Grace's live notification.
        scheduled_task_ids: Tasks that the schedule created, as Ada saw them live.
        channels: Every live channel, by person and name.
    """

    ada: Person
    grace: Person
    task_id: str = ""
    task_seen_after_s: float = 0.0
    reminder_late_s: float = 0.0
    scheduled_task_ids: list[str] = field(default_factory=list)
    channels: dict[str, Channel] = field(default_factory=dict)


async def tell(base_url: str, narrate: Callable[[str], None]) -> Account:
    """Live through the story at a running Rota.

    Args:
        base_url: Its address.
        narrate: Gets a line for each thing that happens.

    Raises:
        StoryError: something did not happen, or not as it must.
    """
    api = Api(base_url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(api.close)
        ada, grace = await api.register("Ada"), await api.register("Grace")
        narrate(f"Ada ({ada.email}) and Grace ({grace.email}) register; each has a workspace of their own.")
        account = Account(ada, grace)
        for person in (ada, grace):
            for name in ("tasks", "notifications"):
                channel = await stack.enter_async_context(listening(base_url, person, name))
                account.channels[f"{person.name} {name}"] = channel
        narrate("Both open /ws/tasks and /ws/notifications.")
        await _invite(api, account, narrate)
        await _assign(api, account, narrate)
        await _remind(account, narrate)
        await _complete(api, account, narrate)
        await _schedule(api, account, narrate)
    return account


async def _invite(api: Api, account: Account, narrate: Callable[[str], None]) -> None:
    path = f"/api/v1/workspaces/{account.ada.workspace_id}/members"
    # 409: the first try did it, though its answer was lost.
    await api.call(account.ada, "POST", path, {"email": account.grace.email, "role": "member"}, also=(409,))
    narrate("Ada invites Grace to her workspace.")


async def _assign(api: Api, account: Account, narrate: Callable[[str], None]) -> None:
    begun = datetime.now(UTC)
    task = await api.call(
        account.ada,
        "POST",
        "/api/v1/tasks",
        {
            "title": "Water the plants",
            "priority": "high",
            "remind_at": _rfc3339(begun + timedelta(seconds=REMINDER_AFTER_S)),
            "assignee_ids": [account.grace.id],
        },
        headers={"Idempotency-Key": secrets.token_urlsafe()},
    )
    account.task_id = task["id"]
    narrate(f"Ada creates a task with a reminder in {REMINDER_AFTER_S:.0f} s and assigns it to Grace: {task['title']}.")
    seen = await account.channels["Grace tasks"].expect("the new task, live", _about_task("task.created", task["id"]))
    account.task_seen_after_s = seen.at - begun.timestamp()
    narrate(f"Grace sees it live, {account.task_seen_after_s * 1000:.0f} ms after Ada's request.")
    told = await account.channels["Grace notifications"].expect(
        "the notification of the assignment", _notification("task.assigned", task["id"])
    )
    narrate(f'Grace is notified: "{told.data["notification"]["title"]}"; an e-mail goes out.')


async def _remind(account: Account, narrate: Callable[[str], None]) -> None:
    channel = account.channels["Grace notifications"]
    reminder = await channel.expect("the reminder", _notification("task.reminder", account.task_id))
    created = await account.channels["Grace tasks"].expect("the task", _about_task("task.created", account.task_id))
    due = datetime.fromisoformat(created.data["task"]["remind_at"]).timestamp()
    account.reminder_late_s = reminder.at - due
    narrate(f"The reminder arrives, {account.reminder_late_s * 1000:.0f} ms after its time.")


async def _complete(api: Api, account: Account, narrate: Callable[[str], None]) -> None:
    await api.call(account.grace, "POST", f"/api/v1/tasks/{account.task_id}/complete")
    await account.channels["Ada tasks"].expect("the completion, live", _about_task("task.completed", account.task_id))
    told = await account.channels["Ada notifications"].expect(
        "the notification of the completion", _notification("task.completed", account.task_id)
    )
    narrate(f'Grace completes the task; Ada hears: "{told.data["notification"]["title"]}".')


async def _schedule(api: Api, account: Account, narrate: Callable[[str], None]) -> None:
    title = f"Stretch {secrets.token_hex(3)}"
    schedule = await api.call(
        account.ada,
        "POST",
        "/api/v1/schedules",
        {"name": "Every second", "cron": "* * * * * *", "action": {"create_task": {"title": title}}},
    )
    narrate("Ada schedules a task for every second (cron `* * * * * *`).")

    def scheduled(received: Received) -> bool:
        return received.name == "task.created" and received.data["task"]["title"] == title

    def enough(_: Received) -> bool:
        return sum(map(scheduled, account.channels["Ada tasks"].received)) >= SCHEDULED_TASKS

    await account.channels["Ada tasks"].expect(f"{SCHEDULED_TASKS} scheduled tasks", enough)
    path = f"/api/v1/schedules/{schedule['id']}"
    runs = await api.call(account.ada, "GET", f"{path}/runs")
    await api.call(account.ada, "DELETE", path, also=(404,))
    account.scheduled_task_ids = [
        each.data["task"]["id"] for each in account.channels["Ada tasks"].received if scheduled(each)
    ]
    narrate(f"{len(account.scheduled_task_ids)} tasks have come ({len(runs['runs'])} runs); she deletes it.")


def _about_task(name: str, task_id: str) -> Callable[[Received], bool]:
    return lambda received: received.name == name and received.data["task"]["id"] == task_id


def _notification(kind: str, task_id: str) -> Callable[[Received], bool]:
    def is_it(received: Received) -> bool:
        notification: dict[str, Any] = received.data["notification"]
        return (
            received.name == "notification.created"
            and notification["kind"] == kind
            and notification["task_id"] == task_id
        )

    return is_it


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
