"""Reactions and their events as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import reactions_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.reactions.domain import Reaction, ReactionEvent, ReactionRemoved
from rota_tasks.timestamps import timestamp


def reaction_message(reaction: Reaction) -> reactions_pb2.Reaction:
    """The reaction as the API shows it."""
    return reactions_pb2.Reaction(
        id=str(reaction.id),
        workspace_id=str(reaction.workspace_id),
        task_id=str(reaction.task_id),
        comment_id=str(reaction.comment_id),
        emoji=reaction.emoji,
        user_id=str(reaction.user_id),
        created_at=timestamp(reaction.created_at),
    )


def reaction_of(message: reactions_pb2.Reaction) -> Reaction:
    """The reaction in a message; the inverse of `reaction_message`."""
    return Reaction(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        task_id=UUID(message.task_id),
        comment_id=UUID(message.comment_id),
        emoji=message.emoji,
        user_id=UUID(message.user_id),
        created_at=message.created_at.ToDatetime(UTC),
    )


def event_message(event: ReactionEvent) -> NewEvent:
    """The event as the log keeps it."""
    data = events_pb2.ReactionRemoved if isinstance(event, ReactionRemoved) else events_pb2.ReactionAdded
    return NewEvent(
        workspace_id=event.reaction.workspace_id,
        aggregate_id=event.reaction.id,
        aggregate_version=event.version,
        data=data(reaction=reaction_message(event.reaction), project_id=str(event.project_id or "")),
        time=event.time,
    )
