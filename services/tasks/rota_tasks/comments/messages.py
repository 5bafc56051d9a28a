"""Comments and their events as the contract writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import comments_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.comments.domain import Comment, CommentCreated, CommentDeleted, CommentEvent, CommentUpdated
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from google.protobuf.message import Message


def comment_message(comment: Comment) -> comments_pb2.Comment:
    """The comment as the API shows it."""
    return comments_pb2.Comment(
        id=str(comment.id),
        workspace_id=str(comment.workspace_id),
        task_id=str(comment.task_id),
        text=comment.text,
        mentioned_ids=[str(each) for each in comment.mentioned_ids],
        author_id=str(comment.author_id),
        created_at=timestamp(comment.created_at),
        updated_at=timestamp(comment.updated_at),
        version=comment.version,
        etag=comment.etag,
        reactions=[
            comments_pb2.ReactionCount(emoji=each.emoji, count=each.count, me=each.me) for each in comment.reactions
        ],
    )


def comment_of(message: comments_pb2.Comment) -> Comment:
    """The comment in a message; the inverse of `comment_message`."""
    return Comment(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        task_id=UUID(message.task_id),
        text=message.text,
        mentioned_ids=tuple(UUID(each) for each in message.mentioned_ids),
        author_id=UUID(message.author_id),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        version=message.version,
    )


def event_message(event: CommentEvent) -> NewEvent:
    """The event as the log keeps it."""
    return NewEvent(
        workspace_id=event.comment.workspace_id,
        aggregate_id=event.comment.id,
        aggregate_version=event.comment.version,
        data=_data(event),
        time=event.comment.updated_at,
    )


def _data(event: CommentEvent) -> Message:
    comment = comment_message(replace(event.comment, reactions=()))
    project_id = str(event.project_id or "")
    match event:
        case CommentCreated():
            return events_pb2.CommentCreated(
                comment=comment,
                task_title=event.task_title,
                watcher_ids=map(str, event.watcher_ids),
                project_id=project_id,
            )
        case CommentUpdated():
            return events_pb2.CommentUpdated(
                comment=comment,
                task_title=event.task_title,
                added_ids=map(str, event.added),
                project_id=project_id,
            )
        case CommentDeleted():
            return events_pb2.CommentDeleted(comment=comment, project_id=project_id)
    raise TypeError(event)
