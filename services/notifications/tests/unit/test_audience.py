"""Who is told of what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from rota.events.v1 import events_pb2
from rota.tasks.v1 import comments_pb2, tasks_pb2
from rota_chassis.events.envelope import Event
from rota_notifications.notifications.audience import OCCASIONS, occasions_of
from rota_notifications.notifications.domain import Kind

if TYPE_CHECKING:
    from rota_notifications.notifications.domain import Occasion

ADA, GRACE, LINUS, TASK, WORKSPACE = (uuid4() for _ in range(5))
DUE = datetime(2026, 5, 1, 10, tzinfo=UTC)


def event(kind: str, data: Any, *, actor: str = f"user:{ADA}") -> Event:
    return Event(
        id=uuid4(),
        type=kind,
        source="/rota/tasks",
        workspace_id=WORKSPACE,
        aggregate_id=TASK,
        aggregate_version=1,
        actor=actor,
        time=DUE,
        data=data,
    )


def task(*assignees: UUID, created_by: UUID = ADA) -> tasks_pb2.Task:
    due = Timestamp()
    due.FromDatetime(DUE)
    return tasks_pb2.Task(
        id=str(TASK), title="Water the plants", created_by=str(created_by), assignee_ids=map(str, assignees), due_at=due
    )


def occasion_of(happened: Event) -> Occasion | None:
    """The one occasion, if there is one."""
    occasions = occasions_of(happened)
    assert len(occasions) <= 1
    return occasions[0] if occasions else None


def told(occasion: Occasion | None) -> tuple[UUID, ...]:
    return () if occasion is None else occasion.recipient_ids


def test_those_who_are_assigned_are_told_but_not_whoever_assigned() -> None:
    data = events_pb2.TaskAssigned(task=task(ADA, GRACE, LINUS), added_ids=[str(ADA), str(GRACE)])
    found = event("task.assigned", data)
    occasion = occasion_of(found)
    assert occasion is not None
    assert (occasion.kind, occasion.recipient_ids, occasion.actor_id) == (Kind.TASK_ASSIGNED, (GRACE,), ADA)
    assert (occasion.event_id, occasion.workspace_id, occasion.task_id) == (found.id, WORKSPACE, TASK)
    assert (occasion.task_title, occasion.moment) == ("Water the plants", DUE)


def test_taking_someone_off_tells_nobody() -> None:
    data = events_pb2.TaskAssigned(task=task(GRACE), removed_ids=[str(LINUS)])
    assert occasion_of(event("task.assigned", data)) is None


def test_the_assignees_of_a_new_task_are_told() -> None:
    occasion = occasion_of(event("task.created", events_pb2.TaskCreated(task=task(GRACE, ADA, LINUS))))
    assert told(occasion) == (GRACE, LINUS)


def test_a_new_task_for_oneself_tells_nobody() -> None:
    assert occasion_of(event("task.created", events_pb2.TaskCreated(task=task(ADA)))) is None
    assert occasion_of(event("task.created", events_pb2.TaskCreated(task=task()))) is None


def test_the_creator_and_the_assignees_hear_of_completion_once_each() -> None:
    data = events_pb2.TaskCompleted(task=task(GRACE, ADA, LINUS))
    assert told(occasion_of(event("task.completed", data, actor=f"user:{GRACE}"))) == (ADA, LINUS)


def test_what_a_service_does_is_told_to_all_concerned() -> None:
    occasion = occasion_of(
        event("task.created", events_pb2.TaskCreated(task=task(ADA, GRACE)), actor="service:scheduler")
    )
    assert told(occasion) == (ADA, GRACE)
    assert occasion is not None
    assert occasion.actor_id is None


def test_reminders_and_due_times_go_to_their_recipients() -> None:
    at = Timestamp()
    at.FromDatetime(DUE)
    for number, kind in (
        (events_pb2.REMINDER_KIND_REMINDER, Kind.TASK_REMINDER),
        (events_pb2.REMINDER_KIND_DUE, Kind.TASK_DUE),
    ):
        data = events_pb2.ReminderFired(
            kind=number, task_id=str(TASK), fire_at=at, title="Water", recipient_ids=[str(ADA), str(GRACE), str(ADA)]
        )
        occasion = occasion_of(event("reminder.fired", data, actor="system"))
        assert occasion is not None
        assert (occasion.kind, occasion.recipient_ids, occasion.moment) == (kind, (ADA, GRACE), DUE)


def test_a_reminder_of_an_unknown_kind_tells_nobody() -> None:
    data = events_pb2.ReminderFired(task_id=str(TASK), recipient_ids=[str(ADA)])
    assert occasion_of(event("reminder.fired", data, actor="system")) is None


def test_exactly_these_events_are_told() -> None:
    assert set(OCCASIONS) == {
        *("task.created", "task.assigned", "task.completed", "reminder.fired"),
        *("comment.created", "comment.updated", "run.notified", "task_run.failed"),
    }


def comment(*mentioned: UUID) -> comments_pb2.Comment:
    return comments_pb2.Comment(id=str(uuid4()), task_id=str(TASK), text="?", mentioned_ids=map(str, mentioned))


def test_those_whom_a_comment_mentions_are_told_but_not_its_author() -> None:
    data = events_pb2.CommentCreated(comment=comment(ADA, GRACE), task_title="Water the plants")
    occasion = occasion_of(event("comment.created", data))
    assert occasion is not None
    assert (occasion.kind, occasion.recipient_ids, occasion.actor_id) == (Kind.TASK_MENTIONED, (GRACE,), ADA)
    assert (occasion.task_id, occasion.task_title) == (TASK, "Water the plants")


def test_those_who_watch_a_task_are_told_of_comments_but_not_their_author_nor_twice() -> None:
    data = events_pb2.CommentCreated(
        comment=comment(GRACE), task_title="Water the plants", watcher_ids=map(str, (ADA, GRACE, LINUS))
    )
    occasions = occasions_of(event("comment.created", data))
    assert [(each.kind, each.recipient_ids) for each in occasions] == [
        (Kind.TASK_MENTIONED, (GRACE,)),
        (Kind.TASK_COMMENTED, (LINUS,)),
    ]
    alone = events_pb2.CommentCreated(comment=comment(), task_title="x", watcher_ids=[str(ADA)])
    assert not occasions_of(event("comment.created", alone))


def test_those_who_watch_a_task_are_told_when_it_is_completed() -> None:
    watched = task(created_by=ADA)
    watched.watcher_ids.extend([str(LINUS), str(GRACE)])
    data = events_pb2.TaskCompleted(task=watched)
    assert told(occasion_of(event("task.completed", data, actor=f"user:{GRACE}"))) == (ADA, LINUS)


def test_a_changed_comment_tells_those_who_are_newly_mentioned() -> None:
    data = events_pb2.CommentUpdated(comment=comment(GRACE, LINUS), task_title="x", added_ids=[str(LINUS)])
    assert told(occasion_of(event("comment.updated", data))) == (LINUS,)
    assert occasion_of(event("comment.updated", events_pb2.CommentUpdated(comment=comment(GRACE)))) is None


def test_those_whom_a_run_names_are_told_in_its_words_also_its_creator() -> None:
    data = events_pb2.RunNotified(
        user_ids=[str(ADA), str(GRACE), str(ADA)], title="The\nmarket", body="It is tomorrow."
    )
    occasion = occasion_of(event("run.notified", data, actor="system"))
    assert occasion is not None
    assert (occasion.kind, occasion.recipient_ids, occasion.task_id) == (Kind.SCHEDULE_MESSAGE, (ADA, GRACE), None)
    assert occasion.message is not None
    assert (occasion.message.title, occasion.message.body) == ("The market", "It is tomorrow.")


def test_those_whom_a_failed_action_concerns_are_told_why() -> None:
    failed = task(GRACE)
    failed.run.error = "Nobody answered."
    data = events_pb2.TaskRunFailed(task=failed, recipient_ids=[str(GRACE), str(ADA), str(GRACE)])
    occasion = occasion_of(event("task_run.failed", data, actor="service:scheduler"))
    assert occasion is not None
    assert (occasion.kind, occasion.recipient_ids, occasion.task_id) == (Kind.TASK_RUN_FAILED, (GRACE, ADA), TASK)
    assert (occasion.task_title, occasion.error, occasion.actor_id) == ("Water the plants", "Nobody answered.", None)
