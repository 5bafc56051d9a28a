"""What the next occurrence takes over from the newest before it, with nothing done.

Read behind the boards that it is to enter, so that these stay as they are; written in the transaction that makes the
occurrence. Of files no byte is copied: their ledger counts who has them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rota_chassis.ids import uuid7

from rota_tasks import bulk
from rota_tasks.attachments import store as attachments
from rota_tasks.boards import domain as boards
from rota_tasks.boards import store as board_store
from rota_tasks.boards.domain import State
from rota_tasks.bulk import Bulk
from rota_tasks.checklists.carrying import unticked
from rota_tasks.fields import store as field_store
from rota_tasks.fields.domain import fitting
from rota_tasks.search import documents
from rota_tasks.series import store
from rota_tasks.series.domain import DATES, moved, occurrence_time
from rota_tasks.series.recurrence import Carried
from rota_tasks.tasks.domain import Status, Task
from rota_tasks.templates import store as parts_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.fields.domain import CustomField
    from rota_tasks.series.domain import Series

MAX_SUBTASKS = 500


@dataclass(frozen=True, slots=True)
class Source:
    """The newest occurrence.

    Attributes:
        task: It.
        below: The tasks below it that are taken over, those above others first.
        carried: What is.
    """

    task: Task
    below: Sequence[Task]
    carried: Carried


async def read(work: UnitOfWork, series: Series) -> Source | None:
    """What there is to take over, behind the boards of its tasks; None when no occurrence lives."""
    task = await store.newest_task(work, workspace_id=series.workspace_id, series_id=series.id)
    if task is None:
        return None
    carried = series.recurrence.carried_over or Carried()
    while True:
        below: Sequence[Task] = []
        if carried.subtasks:
            tree = await parts_store.tree(
                work, user_id=None, workspace_id=task.workspace_id, root_id=task.id, limit=MAX_SUBTASKS + 1
            )
            below = tree[1:]
        projects = {each.project_id for each in (series.template, *below) if each.project_id is not None}
        if not await board_store.lock(work, *sorted(projects)):
            return Source(task, below, carried)


async def write(work: UnitOfWork, source: Source, task: Task) -> None:
    """Give a new occurrence what is taken over."""
    workspace_id, carried = task.workspace_id, source.carried
    ids = sorted(uuid7() for _ in source.below)
    new_ids = {source.task.id: task.id} | {each.id: new for each, new in zip(source.below, ids, strict=True)}
    below = await _opened(work, source, task, new_ids)
    new = {each.id: each for each in (task, *below)}
    scope: dict[str, Any] = {"workspace_id": workspace_id, "task_ids": list(new_ids)}
    items = await parts_store.items_of(work, **scope)
    listed = [
        copy
        for old_id, new_id in new_ids.items()
        if carried.checklist or old_id != source.task.id
        for copy in unticked((each for each in items if each.task_id == old_id), new[new_id])
    ]
    relations = await parts_store.relations_among(work, **scope)
    attached = await attachments.of_tasks(work, **scope) if carried.attachments else []
    await bulk.add(
        work,
        Bulk(
            tasks=below,
            items=listed,
            relations=[
                replace(
                    each,
                    id=uuid7(),
                    source_id=new_ids[each.source_id],
                    task_id=new_ids[each.task_id],
                    created_by=task.created_by,
                    created_at=task.created_at,
                )
                for each in relations
            ],
            attachments=[each.shared(uuid7(), new_ids[each.task_id], now=task.created_at) for each in attached],
        ),
    )
    if attached:
        await documents.write(work, workspace_id=workspace_id, task_ids=[task.id])


async def fields_of(work: UnitOfWork, task: Task) -> Sequence[CustomField]:
    """The custom fields that a task may have values of, which do not change meanwhile."""
    if task.project_id is None:
        return []
    return await field_store.hold(work, workspace_id=task.workspace_id, project_id=task.project_id)


async def _opened(work: UnitOfWork, source: Source, task: Task, new_ids: dict[UUID, UUID]) -> Sequence[Task]:
    """The tasks below as new ones: open, at the dates of the occurrence, without people who no longer see them."""
    workspace_id = task.workspace_id
    people = {user for each in source.below for user in (*each.assignee_ids, *each.watcher_ids)}
    members: dict[UUID | None, frozenset[UUID]] = {}
    states: dict[UUID | None, Sequence[State]] = {None: []}
    fields: dict[UUID | None, Sequence[CustomField]] = {None: []}
    opened = []
    for each in source.below:
        project_id = each.project_id
        if project_id not in members:
            scope: dict[str, Any] = {"workspace_id": workspace_id, "project_id": project_id}
            members[project_id] = frozenset(await store.members(work, **scope, user_ids=list(people)))
        if project_id not in states:
            among: dict[str, Any] = {"workspace_id": workspace_id, "project_id": project_id}
            states[project_id] = await board_store.columns(work, State, **among)
            fields[project_id] = await field_store.hold(work, **among)
        opened.append(
            Task(
                id=new_ids[each.id],
                workspace_id=workspace_id,
                project_id=project_id,
                parent_id=new_ids[each.parent_id] if each.parent_id else None,
                section_id=each.section_id,
                title=each.title,
                description=each.description,
                priority=each.priority,
                category=each.category,
                estimate_s=each.estimate_s,
                time_zone=each.time_zone,
                label_ids=each.label_ids,
                assignee_ids=tuple(user for user in each.assignee_ids if user in members[project_id]),
                watcher_ids=tuple(user for user in each.watcher_ids if user in members[project_id]),
                remind_before_s=each.remind_before_s,
                fields=fitting(fields[project_id], each.fields),
                execution=each.execution.afresh if each.execution else None,
                created_by=task.created_by,
                created_at=task.created_at,
                updated_at=task.created_at,
                **_dates(each, source.task, task),
                **_state(states[project_id], task),
            )
        )
    return opened


def _dates(each: Task, source: Task, task: Task) -> dict[str, Any]:
    """The dates of a task below, moved along with the occurrence; none of them where one would leave the calendar."""
    if source.occurrence is None or task.occurrence is None or task.recurrence is None:
        return {}
    old, new = occurrence_time(source.occurrence), occurrence_time(task.occurrence)
    try:
        dates = moved({name: getattr(each, name) for name in DATES}, old, new, task.recurrence.zone)
    except OverflowError:
        return {}
    if "remind_at" in dates and dates["remind_at"] <= task.created_at:
        del dates["remind_at"]
    return dates


def _state(states: Sequence[State], task: Task) -> dict[str, Any]:
    if not states:
        return {"status": Status.TODO}
    state = boards.initial(states)
    done = {"completed_at": task.created_at, "completed_by": task.created_by} if state.group is Status.DONE else {}
    return {"status": state.group, "state_id": state.id, **done}
