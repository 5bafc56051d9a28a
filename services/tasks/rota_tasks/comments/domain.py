"""A comment: what someone says about a task.

Pure: functions take a comment and return the events that follow; the last event holds the comment as it then is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class ReactionCount:
    """How many users reacted with an emoji, and whether the reader is one of them."""

    emoji: str
    count: int
    me: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """Something said about a task; the fields are those of rota.tasks.v1.Comment.

    Attributes:
        reactions: As a read found them: they are no part of the comment itself.
    """

    id: UUID
    workspace_id: UUID
    task_id: UUID
    text: str
    mentioned_ids: tuple[UUID, ...] = ()
    author_id: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1
    reactions: tuple[ReactionCount, ...] = field(default=(), compare=False)

    @property
    def etag(self) -> str:
        """Strong entity tag, quotes included: the version, and a digest of the reactions if there are any."""
        if not self.reactions:
            return f'"v{self.version}"'
        digest = hashlib.blake2b(repr(self.reactions).encode(), digest_size=6)
        return f'"v{self.version}.{digest.hexdigest()}"'


@dataclass(frozen=True, slots=True)
class CommentEvent:
    """Something happened to a comment; `comment` is the comment after it, and `project_id` the project of its task."""

    comment: Comment
    project_id: UUID | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class CommentCreated(CommentEvent):
    """It was written, about a task of this title; `watcher_ids` watched the task then."""

    task_title: str
    watcher_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class CommentUpdated(CommentEvent):
    """It changed; `added` are the users it did not mention before."""

    task_title: str
    added: tuple[UUID, ...]


class CommentDeleted(CommentEvent):
    """It was deleted; `comment` is as it last was, one version on."""


def edit(
    comment: Comment, changes: Mapping[str, Any], *, task_title: str, project_id: UUID | None, now: datetime
) -> Sequence[CommentEvent]:
    """Set text or mentioned_ids; nothing follows when nothing differs."""
    fields = {name: value for name, value in changes.items() if getattr(comment, name) != value}
    if not fields:
        return []
    after = replace(comment, **fields, updated_at=now, version=comment.version + 1)
    added = tuple(each for each in after.mentioned_ids if each not in comment.mentioned_ids)
    return [CommentUpdated(after, task_title, added, project_id=project_id)]


def delete(comment: Comment, *, project_id: UUID | None, now: datetime) -> Sequence[CommentEvent]:
    """End it."""
    gone = replace(comment, updated_at=now, version=comment.version + 1)
    return [CommentDeleted(gone, project_id=project_id)]
