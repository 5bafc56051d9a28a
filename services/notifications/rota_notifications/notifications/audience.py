"""Who is told of which events. Nobody is told what they did themselves."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.events.v1 import events_pb2

from rota_notifications.notifications.domain import Kind, Occasion
from rota_notifications.notifications.wording import Words, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from rota_chassis.events.envelope import Event

_USER_ACTOR = "user:"
_REMINDER_KINDS = {
    events_pb2.REMINDER_KIND_REMINDER: Kind.TASK_REMINDER,
    events_pb2.REMINDER_KIND_DUE: Kind.TASK_DUE,
}


def occasions_of(event: Event) -> Sequence[Occasion]:
    """Why and whom to tell of the event: a user for one reason at most; nothing when it concerns nobody."""
    occasions = [find(event) for find in OCCASIONS[event.type]]
    return [each for each in occasions if each is not None and each.recipient_ids]


def _created(event: Event) -> Occasion:
    return _of_task(event, Kind.TASK_ASSIGNED, event.data.task.assignee_ids, moment=_moment(event.data.task, "due_at"))


def _assigned(event: Event) -> Occasion:
    return _of_task(event, Kind.TASK_ASSIGNED, event.data.added_ids, moment=_moment(event.data.task, "due_at"))


def _completed(event: Event) -> Occasion:
    task = event.data.task
    return _of_task(event, Kind.TASK_COMPLETED, [task.created_by, *task.assignee_ids, *task.watcher_ids])


def _reminded(event: Event) -> Occasion | None:
    kind = _REMINDER_KINDS.get(event.data.kind)
    if kind is None:
        return None
    return Occasion(
        event_id=event.id,
        workspace_id=event.workspace_id,
        kind=kind,
        task_id=UUID(event.data.task_id),
        task_title=event.data.title,
        project_id=event.data.project_id if event.data.HasField("project_id") else None,
        recipient_ids=_each_once(event.data.recipient_ids),
        moment=_moment(event.data, "fire_at"),
    )


def _mentioned(event: Event) -> Occasion:
    return _of_comment(event, Kind.TASK_MENTIONED, event.data.comment.mentioned_ids)


def _commented(event: Event) -> Occasion:
    mentioned = set(event.data.comment.mentioned_ids)
    watchers = [each for each in event.data.watcher_ids if each not in mentioned]
    return _of_comment(event, Kind.TASK_COMMENTED, watchers)


def _comment_updated(event: Event) -> Occasion:
    return _of_comment(event, Kind.TASK_MENTIONED, event.data.added_ids)


def _run_failed(event: Event) -> Occasion:
    task = event.data.task
    return Occasion(
        event_id=event.id,
        workspace_id=event.workspace_id,
        kind=Kind.TASK_RUN_FAILED,
        task_id=UUID(task.id),
        task_title=task.title,
        recipient_ids=_each_once(event.data.recipient_ids),
        error=task.run.error,
    )


def _run_notified(event: Event) -> Occasion:
    return Occasion(
        event_id=event.id,
        workspace_id=event.workspace_id,
        kind=Kind.SCHEDULE_MESSAGE,
        recipient_ids=_each_once(event.data.user_ids),
        message=Words(one_line(event.data.title), event.data.body),
    )


OCCASIONS: dict[str, tuple[Callable[[Event], Occasion | None], ...]] = {
    "task.created": (_created,),
    "task.assigned": (_assigned,),
    "task.completed": (_completed,),
    "reminder.fired": (_reminded,),
    "comment.created": (_mentioned, _commented),
    "comment.updated": (_comment_updated,),
    "run.notified": (_run_notified,),
    "task_run.failed": (_run_failed,),
}
"""What each type of event tells people; these are the types that are consumed."""


def _of_task(event: Event, kind: Kind, user_ids: Iterable[str], *, moment: datetime | None = None) -> Occasion:
    actor_id = _actor_id(event)
    return Occasion(
        event_id=event.id,
        workspace_id=event.workspace_id,
        kind=kind,
        task_id=UUID(event.data.task.id),
        task_title=event.data.task.title,
        actor_id=actor_id,
        project_id=event.data.task.project_id,
        recipient_ids=tuple(each for each in _each_once(user_ids) if each != actor_id),
        moment=moment,
    )


def _of_comment(event: Event, kind: Kind, user_ids: Iterable[str]) -> Occasion:
    actor_id = _actor_id(event)
    return Occasion(
        event_id=event.id,
        workspace_id=event.workspace_id,
        kind=kind,
        task_id=UUID(event.data.comment.task_id),
        task_title=event.data.task_title,
        actor_id=actor_id,
        project_id=event.data.project_id,
        recipient_ids=tuple(each for each in _each_once(user_ids) if each != actor_id),
    )


def _actor_id(event: Event) -> UUID | None:
    return UUID(event.actor.removeprefix(_USER_ACTOR)) if event.actor.startswith(_USER_ACTOR) else None


def _each_once(user_ids: Iterable[str]) -> tuple[UUID, ...]:
    return tuple(dict.fromkeys(UUID(each) for each in user_ids))


def _moment(message: Any, field: str) -> datetime | None:
    return getattr(message, field).ToDatetime(UTC) if message.HasField(field) else None
