"""A reaction: an emoji from a user to a comment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import emoji as unicode_emoji

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

MAX_EMOJI = 50
"""How many different ones a comment has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """An emoji from a user to a comment; the fields are those of rota.tasks.v1.Reaction."""

    id: UUID
    workspace_id: UUID
    task_id: UUID
    comment_id: UUID
    emoji: str
    user_id: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ReactionEvent:
    """Something happened to a reaction.

    Attributes:
        reaction: The reaction.
        version: Of the reaction after it: 1 when it was added, 2 when it was taken back.
        time: When.
        project_id: The project of the task.
    """

    reaction: Reaction
    version: int
    time: datetime
    project_id: UUID | None = field(default=None, kw_only=True)


class ReactionAdded(ReactionEvent):
    """Someone reacted."""


class ReactionRemoved(ReactionEvent):
    """It was taken back."""


def qualified(text: str) -> str:
    """One emoji in its fully qualified form (Unicode Technical Standard 51), so that ❤ and ❤️ are the same.

    Raises:
        ValueError: the text is not one emoji.
    """
    if not unicode_emoji.is_emoji(text):
        raise ValueError(text)
    return unicode_emoji.emojize(unicode_emoji.demojize(text))


def add(reaction: Reaction, *, project_id: UUID | None = None) -> ReactionAdded:
    """React."""
    return ReactionAdded(reaction, 1, reaction.created_at, project_id=project_id)


def remove(reaction: Reaction, *, now: datetime, project_id: UUID | None = None) -> ReactionRemoved:
    """Take it back."""
    return ReactionRemoved(reaction, 2, now, project_id=project_id)
