"""What records add to tasks: items of checklists, relations, comments, reactions.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.ids import uuid7

from rota_tasks.boards import domain as boards
from rota_tasks.checklists.domain import MAX_ITEMS, ChecklistItem
from rota_tasks.comments.domain import Comment
from rota_tasks.reactions import domain as reaction_domain
from rota_tasks.reactions.domain import Reaction
from rota_tasks.relations.domain import Relation

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from rota_tasks.imports.batch import Batch
    from rota_tasks.imports.domain import CommentRecord, ItemRecord, ReactionRecord, RelationRecord


def items(
    batch: Batch, records: Sequence[ItemRecord], living: Collection[UUID], there: Mapping[UUID, tuple[int, str]]
) -> list[ChecklistItem]:
    """Items behind those that there are.

    Args:
        batch: What is known.
        records: What they say.
        living: The tasks that there are, of those named.
        there: How many items tasks have, and the position of the last.
    """
    last_of = dict(there)
    new = []
    for record, item_id in zip(records, sorted(uuid7() for _ in records), strict=True):
        task_id = batch.ids.get(record.task)
        number, last = last_of.get(task_id, (0, None)) if task_id else (0, None)
        if record.key in batch.ids:
            batch.outcome.skip(record)
        elif task_id is None or task_id not in living:
            batch.outcome.fail(record, "TASK_NOT_FOUND", "Its task does not stand above it, or was deleted.")
        elif number >= MAX_ITEMS:
            batch.outcome.fail(record, "TOO_MANY_CHECKLIST_ITEMS", f"A checklist has at most {MAX_ITEMS} items.")
        else:
            position = boards.between(last, None)
            last_of[task_id] = (number + 1, position)
            new.append(_item(batch, record, item_id, task_id, position))
            batch.create(record, item_id)
    return new


def _item(batch: Batch, record: ItemRecord, item_id: UUID, task_id: UUID, position: str) -> ChecklistItem:
    assignees = batch.people_of(record, (record.assignee,) if record.assignee else (), 1)
    return ChecklistItem(
        id=item_id,
        workspace_id=batch.job.workspace_id,
        task_id=task_id,
        title=record.title,
        is_done=record.is_done,
        done_by=batch.job.created_by if record.is_done else None,
        done_at=min(record.done_at or batch.now, batch.now) if record.is_done else None,
        assignee_id=assignees[0] if assignees else None,
        position=position,
        **batch.made,
    )


def relation(batch: Batch, record: RelationRecord) -> Relation | None:
    """A relation, if it can be: whether it closes a circle is for the caller to find. None is noted."""
    source_id, task_id = batch.ids.get(record.task), batch.ids.get(record.other)
    if source_id is None or task_id is None:
        batch.outcome.fail(record, "RELATED_TASK_NOT_FOUND", "A task that it relates does not stand above it.")
        return None
    if record.key in batch.ids:
        batch.outcome.skip(record)
        return None
    return Relation(
        id=uuid7(),
        workspace_id=batch.job.workspace_id,
        source_id=source_id,
        type=record.type,
        task_id=task_id,
        created_by=batch.job.created_by,
        created_at=batch.now,
        lag_s=record.lag_s,
    )


def comments(batch: Batch, records: Sequence[CommentRecord], living: Collection[UUID]) -> list[Comment]:
    """What was said about tasks that there are."""
    new = []
    for record, comment_id in zip(records, sorted(uuid7() for _ in records), strict=True):
        task_id = batch.ids.get(record.task)
        foreseen = batch.job.dry_run and task_id in batch.foreseen.levels
        if record.key in batch.ids:
            batch.outcome.skip(record)
        elif task_id is None or (task_id not in living and not foreseen):
            batch.outcome.fail(record, "TASK_NOT_FOUND", "Its task does not stand above it, or was deleted.")
        else:
            new.append(_comment(batch, record, comment_id, task_id))
            batch.create(record, comment_id)
    return new


def _comment(batch: Batch, record: CommentRecord, comment_id: UUID, task_id: UUID) -> Comment:
    author_id, text = batch.people.find(record.author) if record.author else None, record.text
    if author_id is None and record.author:
        # Nobody is made to say what they did not say.
        text = f"*{record.author[:200]}*:\n\n{text}"[:20_000]
    said_at = min(record.created_at or batch.now, batch.now)
    return Comment(
        id=comment_id,
        workspace_id=batch.job.workspace_id,
        task_id=task_id,
        text=text,
        author_id=author_id or batch.job.created_by,
        created_at=said_at,
        updated_at=said_at,
    )


def reaction(batch: Batch, record: ReactionRecord, task_of: Mapping[UUID, UUID]) -> Reaction | None:
    """The reaction of someone who is known here.

    Args:
        batch: What is known.
        record: What it says.
        task_of: The comments that there are, with their tasks.

    Returns:
        None when it cannot be, which is noted, or when its comment is only foreseen.
    """
    comment_id, user_id = batch.ids.get(record.comment), batch.people.find(record.user)
    task_id = task_of.get(comment_id) if comment_id else None
    if record.key in batch.ids:
        batch.outcome.skip(record)
    elif comment_id is None or (task_id is None and not batch.job.dry_run):
        batch.outcome.fail(record, "COMMENT_NOT_FOUND", "Its comment does not stand above it, or was deleted.")
    elif user_id is None:
        batch.outcome.fail(record, "PERSON_UNKNOWN", "Nobody is made to react who did not.")
    elif (emoji := _emoji(record)) is None:
        batch.outcome.fail(record, "NOT_AN_EMOJI", "It is not one emoji.")
    else:
        reaction_id = uuid7()
        batch.create(record, reaction_id)
        if task_id is not None:
            return Reaction(
                id=reaction_id,
                workspace_id=batch.job.workspace_id,
                task_id=task_id,
                comment_id=comment_id,
                emoji=emoji,
                user_id=user_id,
                created_at=min(record.created_at or batch.now, batch.now),
            )
    return None


def _emoji(record: ReactionRecord) -> str | None:
    try:
        return reaction_domain.qualified(record.emoji)
    except ValueError:
        return None
