"""From an event on the stream to the list, the event log and the mail, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rota.events.v1 import events_pb2
from rota.notifications.v1 import notifications_pb2
from rota.tasks.v1 import comments_pb2, tasks_pb2
from rota_chassis.errors import InvalidArgument, NotFound, Unauthenticated
from rota_chassis.ids import uuid7
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage


async def test_an_assignee_is_told_in_the_app_by_mail_and_live(stage: Stage) -> None:
    live = await stage.streams.subscribe("rota.events.v1.*.notification.created", ordered_consumer=True)
    await stage.assign(stage.grace, title="Water the <b>plants</b>")
    (told,) = await stage.listed(stage.grace, 1)
    assert (told.kind, told.title) == ("task.assigned", "Assigned to you: Water the <b>plants</b>")
    assert (told.user_id, told.workspace_id) == (str(stage.grace.id), str(stage.ada.workspace_id))
    assert not told.HasField("read_at")
    message = await live.next_msg(timeout=5)
    assert message.headers is not None
    assert (message.headers["ce-type"], message.headers["ce-subject"]) == ("notification.created", told.id)
    await stage.settled(1)
    (mail,) = stage.mailed(stage.grace)
    assert mail["Subject"] == told.title
    assert mail["X-Rota-Notification"] == told.id
    assert not stage.mailed(stage.ada)


async def test_the_actor_is_named_once_auth_has_told_of_them(stage: Stage) -> None:
    profile = stage.auth.add_user(stage.ada, name="Ada Lovelace")
    await stage.publish(
        events_pb2.UserRegistered(user=profile), workspace_id=stage.ada.workspace_id, actor=f"user:{stage.ada.id}"
    )
    await eventually(lambda: stage.rows.fetchval("SELECT count(*) FROM people"))
    await stage.assign(stage.grace)
    (told,) = await stage.listed(stage.grace, 1)
    assert told.body == "Ada Lovelace assigned this task to you."


async def test_older_news_of_a_user_do_not_replace_newer(stage: Stage) -> None:
    profile = stage.auth.add_user(stage.grace, name="Grace", email="new@example.com")
    for version, email in ((3, "new@example.com"), (2, "old@example.com")):
        profile.version, profile.email = version, email
        await stage.publish(
            events_pb2.UserUpdated(user=profile), workspace_id=stage.grace.workspace_id, actor=f"user:{stage.grace.id}"
        )
    await eventually(lambda: stage.rows.fetchval("SELECT count(*) = 2 FROM inbox"))
    assert await stage.rows.fetchval("SELECT email FROM people") == "new@example.com"


async def test_an_event_that_comes_again_and_again_tells_and_mails_once(stage: Stage) -> None:
    event_id = await stage.assign(stage.grace, times=5)
    await stage.listed(stage.grace, 1)
    # Whoever lost its inbox (a restored backup, a renamed consumer) still does not double.
    await stage.rows.execute("DELETE FROM inbox")
    await stage.assign(stage.grace, times=3, event_id=event_id)
    await stage.assign(stage.grace, title="The last")
    await stage.listed(stage.grace, 2)
    await eventually(lambda: stage.rows.fetchval("SELECT count(*) = 2 FROM inbox"))
    await stage.settled(2)
    assert len(stage.mailed(stage.grace)) == 2
    assert await stage.rows.fetchval("SELECT count(*) FROM events") == 2


async def test_what_a_run_says_is_told_and_mailed(stage: Stage) -> None:
    await stage.publish(
        events_pb2.RunNotified(user_ids=[str(stage.grace.id)], title="The market", body="It is tomorrow."),
        workspace_id=stage.ada.workspace_id,
        actor="system",
    )
    (told,) = await stage.listed(stage.grace, 1)
    assert (told.kind, told.title, told.body) == ("schedule.message", "The market", "It is tomorrow.")
    assert not told.HasField("task_id")
    await stage.settled(1)
    (mail,) = stage.mailed(stage.grace)
    assert mail["Subject"] == "The market"


async def test_that_an_action_failed_is_told_once_and_why(stage: Stage) -> None:
    task = tasks_pb2.Task(id=str(uuid7()), title="Publish")
    task.run.error = "Nobody answered."
    event_id = uuid7()
    for _ in range(3):
        await stage.publish(
            events_pb2.TaskRunFailed(task=task, recipient_ids=[str(stage.ada.id), str(stage.grace.id)]),
            workspace_id=stage.ada.workspace_id,
            actor="service:scheduler",
            event_id=event_id,
        )
    for user in (stage.ada, stage.grace):
        (told,) = await stage.listed(user, 1)
        assert (told.kind, told.task_id, told.title) == ("task.run_failed", task.id, "Action failed: Publish")
        assert told.body == "The action of this task failed for good. Nobody answered."
    await stage.settled(2)


async def test_completion_and_reminders_are_told(stage: Stage) -> None:
    at = Timestamp(seconds=1_767_225_600)
    task = tasks_pb2.Task(
        id=str(uuid7()), title="Water", created_by=str(stage.ada.id), assignee_ids=[str(stage.grace.id)]
    )
    await stage.publish(
        events_pb2.TaskCompleted(task=task), workspace_id=stage.ada.workspace_id, actor=f"user:{stage.grace.id}"
    )
    for kind in (events_pb2.REMINDER_KIND_REMINDER, events_pb2.REMINDER_KIND_DUE):
        await stage.publish(
            events_pb2.ReminderFired(
                kind=kind,
                task_id=task.id,
                fire_at=at,
                title="Water",
                recipient_ids=[str(stage.grace.id)],
                project_id="",
            ),
            workspace_id=stage.ada.workspace_id,
            actor="service:scheduler",
        )
    assert {each.kind for each in await stage.listed(stage.grace, 2)} == {"task.reminder", "task.due"}
    (heard,) = await stage.listed(stage.ada, 1)
    assert (heard.kind, heard.task_id) == ("task.completed", task.id)


async def test_whoever_watches_a_task_is_told_of_comments_and_completion(stage: Stage) -> None:
    task = tasks_pb2.Task(
        id=str(uuid7()), title="Water", created_by=str(stage.ada.id), watcher_ids=[str(stage.grace.id)]
    )
    comment = comments_pb2.Comment(id=str(uuid7()), task_id=task.id, text="?", author_id=str(stage.ada.id))
    for data in (
        events_pb2.CommentCreated(comment=comment, task_title="Water", watcher_ids=task.watcher_ids),
        events_pb2.TaskCompleted(task=task),
    ):
        await stage.publish(data, workspace_id=stage.ada.workspace_id, actor=f"user:{stage.ada.id}")
    told = {each.kind: each.title for each in await stage.listed(stage.grace, 2)}
    assert told == {"task.commented": "New comment: Water", "task.completed": "Completed: Water"}
    await stage.settled(2)
    assert not stage.mailed(stage.ada)


async def test_whoever_is_mentioned_in_a_comment_is_told_and_mailed(stage: Stage) -> None:
    comment = comments_pb2.Comment(
        id=str(uuid7()), task_id=str(uuid7()), text="Look", mentioned_ids=[str(stage.grace.id), str(stage.ada.id)]
    )
    await stage.publish(
        events_pb2.CommentCreated(comment=comment, task_title="Water"),
        workspace_id=stage.ada.workspace_id,
        actor=f"user:{stage.ada.id}",
    )
    (heard,) = await stage.listed(stage.grace, 1)
    assert (heard.kind, heard.task_id, heard.title) == (
        "task.mentioned",
        comment.task_id,
        "You were mentioned: Water",
    )
    await stage.settled(1)
    assert len(stage.mailed(stage.grace)) == 1
    assert stage.mailed(stage.ada) == []


async def test_reading_counts_once_and_is_an_event(stage: Stage) -> None:
    await stage.assign(stage.grace)
    await stage.assign(stage.grace, title="Second")
    newest, _ = await stage.listed(stage.grace, 2)
    assert (await stage.page(stage.grace)).unread_count == 2
    request = notifications_pb2.ReadNotificationRequest(id=newest.id)
    first = await stage.api.ReadNotification(request, metadata=stage.grace.metadata)
    second = await stage.api.ReadNotification(request, metadata=stage.grace.metadata)
    assert first.notification.HasField("read_at")
    assert second == first
    left = await stage.page(stage.grace, unread=True)
    assert (left.unread_count, [each.id == newest.id for each in left.notifications]) == (1, [False])
    versions = await stage.rows.fetch(
        "SELECT type, aggregate_version, actor FROM events WHERE aggregate_id = $1 ORDER BY position", newest.id
    )
    assert [tuple(row) for row in versions] == [
        ("notification.created", 1, "system"),
        ("notification.read", 2, f"user:{stage.grace.id}"),
    ]


async def test_a_deleted_notification_is_gone_and_its_deletion_an_event(stage: Stage) -> None:
    await stage.assign(stage.grace)
    (told,) = await stage.listed(stage.grace, 1)
    request = notifications_pb2.DeleteNotificationRequest(id=told.id)
    await stage.api.DeleteNotification(request, metadata=stage.grace.metadata)
    answer = await stage.page(stage.grace)
    assert (list(answer.notifications), answer.unread_count) == ([], 0)
    with pytest.raises(NotFound):
        await stage.api.DeleteNotification(request, metadata=stage.grace.metadata)
    last = await stage.rows.fetchrow("SELECT type, aggregate_version FROM events ORDER BY position DESC LIMIT 1")
    assert tuple(last) == ("notification.deleted", 2)


async def test_another_users_notification_does_not_exist(stage: Stage) -> None:
    await stage.assign(stage.grace)
    (told,) = await stage.listed(stage.grace, 1)
    for notification_id in (told.id, str(uuid4())):
        calls = [
            stage.api.ReadNotification(
                notifications_pb2.ReadNotificationRequest(id=notification_id), metadata=stage.ada.metadata
            ),
            stage.api.DeleteNotification(
                notifications_pb2.DeleteNotificationRequest(id=notification_id), metadata=stage.ada.metadata
            ),
        ]
        for call in calls:
            with pytest.raises(NotFound) as caught:
                await call
            assert caught.value.code == "NOTIFICATION_NOT_FOUND"
    assert not (await stage.page(stage.ada)).notifications
    with pytest.raises(Unauthenticated):
        await stage.api.ListNotifications(notifications_pb2.ListNotificationsRequest())


async def test_pages_run_from_the_newest_to_the_oldest_without_gap_or_double(stage: Stage) -> None:
    for number in range(7):
        await stage.assign(stage.grace, title=str(number))
    expected = [each.id for each in await stage.listed(stage.grace, 7)]
    assert expected == sorted(expected, reverse=True)
    found, token, sizes = [], "", []
    while True:
        page = await stage.page(stage.grace, page_size=3, page_token=token)
        sizes.append(len(page.notifications))
        found += [each.id for each in page.notifications]
        token = page.next_page_token
        if not token:
            break
    assert (found, sizes) == (expected, [3, 3, 1])


async def test_a_page_token_works_for_its_user_and_filter_only(stage: Stage) -> None:
    for user in (stage.grace, stage.grace):
        await stage.assign(user)
    await stage.listed(stage.grace, 2)
    token = (await stage.page(stage.grace, page_size=1)).next_page_token
    assert token
    for user, unread in ((stage.ada, False), (stage.grace, True)):
        with pytest.raises(InvalidArgument) as caught:
            await stage.page(user, page_size=1, page_token=token, unread=unread)
        assert caught.value.code == "INVALID_PAGE_TOKEN"
