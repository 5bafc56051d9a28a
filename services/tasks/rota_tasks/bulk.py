"""Writes many new things of one workspace at once: rows and events by COPY.

What is new refers to what there is already, or to other new things. Whoever calls has settled that it may be, holds
what that depends on, and numbers ids so that things that were ordered by them still are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from rota_tasks.attachments import ledger
from rota_tasks.attachments import messages as attachment_messages
from rota_tasks.attachments import store as attachment_store
from rota_tasks.attachments.domain import AttachmentCreated
from rota_tasks.boards import messages as board_messages
from rota_tasks.boards import store as board_store
from rota_tasks.boards.domain import Column, ColumnCreated
from rota_tasks.checklists import messages as checklist_messages
from rota_tasks.checklists import store as checklist_store
from rota_tasks.checklists.domain import ChecklistItem, ChecklistItemCreated
from rota_tasks.comments import messages as comment_messages
from rota_tasks.comments import store as comment_store
from rota_tasks.comments.domain import Comment, CommentCreated
from rota_tasks.executions import unblocking
from rota_tasks.fields import messages as field_messages
from rota_tasks.fields import store as field_store
from rota_tasks.fields.domain import CustomField, CustomFieldCreated
from rota_tasks.keys import commands as keys
from rota_tasks.labels import messages as label_messages
from rota_tasks.labels import store as label_store
from rota_tasks.labels.domain import Label, LabelCreated
from rota_tasks.projects import domain as projects
from rota_tasks.projects import messages as project_messages
from rota_tasks.projects import store as project_store
from rota_tasks.relations import domain as relations
from rota_tasks.relations import messages as relation_messages
from rota_tasks.relations import store as relation_store
from rota_tasks.search import documents
from rota_tasks.series import following, occurrences
from rota_tasks.tasks import messages as task_messages
from rota_tasks.tasks import store as task_store
from rota_tasks.tasks.domain import Task, TaskCreated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import TypeVar
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.attachments.domain import Attachment
    from rota_tasks.projects.domain import Project
    from rota_tasks.relations.domain import Relation

    Thing = TypeVar("Thing")

_AT_ONCE = 500
"""Others of the database get their turn between as many."""
_TURN = 50
"""Others of the process get their turn between as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What is new, each kind after those that it refers to.

    Attributes:
        columns: States and sections.
        tasks: Those above others first.
    """

    projects: Sequence[Project] = ()
    columns: Sequence[Column] = ()
    fields: Sequence[CustomField] = ()
    labels: Sequence[Label] = ()
    tasks: Sequence[Task] = ()
    items: Sequence[ChecklistItem] = ()
    relations: Sequence[Relation] = ()
    attachments: Sequence[Attachment] = ()
    comments: Sequence[Comment] = ()


async def add(work: UnitOfWork, new: Bulk) -> Sequence[Task]:
    """Write it all, search documents and series included.

    Returns:
        The tasks, with their numbers.
    """
    await add_frame(work, new)
    written: list[Task] = []
    for some in _some(new.tasks):
        tasks = await add_tasks(work, some)
        written.extend(tasks)
    projects_of = await _projects_of(work, new)
    for items in _some(new.items):
        await add_items(work, items, projects_of)
    for relations_ in _some(new.relations):
        await relation_store.save(work, relations_)
        added = (
            relations.add(each, (projects_of.get(each.source_id), projects_of.get(each.task_id))) for each in relations_
        )
        work.append(*map(relation_messages.event_message, added))
    await unblocking.follow(work, [TaskCreated(task) for task in written if task.execution is not None])
    for attachments in _some(new.attachments):
        await add_attachments(work, attachments, projects_of)
    about = {task.id: (task.title, task.project_id) for task in new.tasks}
    for comments in _some(new.comments):
        await add_comments(work, comments, about)
    # They have documents, without what came to them since.
    stale = {comment.task_id for comment in new.comments} | {each.task_id for each in new.attachments}
    for task_ids in _some(sorted(stale & {task.id for task in written})):
        await documents.write(work, workspace_id=written[0].workspace_id, task_ids=task_ids)
    return written


async def _projects_of(work: UnitOfWork, new: Bulk) -> Mapping[UUID, UUID | None]:
    """The projects of the tasks that what is new belongs to, also of those that were there."""
    known = {task.id: task.project_id for task in new.tasks}
    owners = [(each.workspace_id, each.task_id) for each in new.items]
    owners += [(each.workspace_id, each.task_id) for each in new.attachments]
    owners += [(each.workspace_id, end) for each in new.relations for end in (each.source_id, each.task_id)]
    others = {task_id for _, task_id in owners} - known.keys()
    if not others:
        return known
    return {**await task_store.projects_of(work, workspace_id=owners[0][0], task_ids=sorted(others)), **known}


async def add_frame(work: UnitOfWork, new: Bulk) -> None:
    """Write labels and projects with their states, sections and custom fields: few of each."""
    for project in new.projects:
        created = projects.create(project)
        work.append(project_messages.event_message(created))
        await project_store.project(work, created)
    for column in new.columns:
        work.append(board_messages.event_message(ColumnCreated(column)))
        await board_store.project(work, ColumnCreated(column))
    for field in new.fields:
        work.append(field_messages.event_message(CustomFieldCreated(field)))
        await field_store.project(work, CustomFieldCreated(field))
    for label in new.labels:
        work.append(label_messages.event_message(LabelCreated(label)))
        await label_store.project(work, LabelCreated(label))


async def add_tasks(work: UnitOfWork, tasks: Sequence[Task]) -> Sequence[Task]:
    """Write tasks with the next numbers of their projects, their search documents, and the series that they begin.

    Returns:
        The tasks, with their numbers.
    """
    tasks = await keys.numbered(work, tasks)
    writing = asyncio.create_task(_write_tasks(work, tasks))
    try:
        # While the database writes these, their events are made, and others get their turn.
        for some in _some(tasks, _TURN):
            await asyncio.sleep(0)
            work.append(*(task_messages.event_message(TaskCreated(task)) for task in some))
    finally:
        await writing
    await occurrences.write(work, tasks)
    await following.begin(work, tasks)
    return tasks


async def _write_tasks(work: UnitOfWork, tasks: Sequence[Task]) -> None:
    await task_store.add_many(work, tasks)
    if tasks:
        await documents.write_of_tasks(
            work,
            workspace_id=tasks[0].workspace_id,
            task_ids=[task.id for task in tasks],
            labelled=any(task.label_ids for task in tasks),
            new=True,
        )


async def add_items(work: UnitOfWork, items: Sequence[ChecklistItem], projects_of: Mapping[UUID, UUID | None]) -> None:
    """Write items of checklists of tasks in these projects."""
    await checklist_store.add_many(work, items)
    added = (ChecklistItemCreated(item, project_id=projects_of.get(item.task_id)) for item in items)
    work.append(*map(checklist_messages.event_message, added))


async def add_attachments(
    work: UnitOfWork, attachments: Sequence[Attachment], projects_of: Mapping[UUID, UUID | None]
) -> None:
    """Write attachments, of tasks in these projects, that have the files of others, as far as these are still there.

    The search documents are left to the caller.
    """
    uses = Counter(each.object_id for each in attachments)
    if not uses:
        return
    stored = await ledger.use(work, workspace_id=attachments[0].workspace_id, uses=uses)
    kept = [each for each in attachments if each.object_id in stored]
    await attachment_store.add_many(work, kept)
    added = (AttachmentCreated(each, project_id=projects_of.get(each.task_id)) for each in kept)
    work.append(*map(attachment_messages.event_message, added))


async def add_comments(
    work: UnitOfWork, comments: Sequence[Comment], about: Mapping[UUID, tuple[str, UUID | None]]
) -> None:
    """Write comments on tasks of these titles and projects; the search documents are left to the caller.

    What was said long ago is no news to those who watch.
    """
    await comment_store.add_many(work, comments)
    for comment in comments:
        title, project_id = about.get(comment.task_id, ("", None))
        work.append(comment_messages.event_message(CommentCreated(comment, title, (), project_id=project_id)))


def _some(things: Sequence[Thing], number: int = _AT_ONCE) -> Iterator[Sequence[Thing]]:
    left = iter(things)
    while some := list(islice(left, number)):
        yield some
