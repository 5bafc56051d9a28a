"""What gives keys: steps of transactions that create and change projects and tasks.

Two at once: of a key of a project, the second waits for the first and finds it taken; of the numbers of a project, they
take turns on its row (see `store`). Dying before the commit leaves none given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, NotFound, Violation

from rota_tasks.keys import domain, store
from rota_tasks.projects import domain as projects
from rota_tasks.projects import messages as project_messages
from rota_tasks.projects import store as project_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.projects.domain import Project
    from rota_tasks.tasks.domain import Task, TaskEvent


async def claim(work: UnitOfWork, *, workspace_id: UUID, project_id: UUID, key: str) -> None:
    """Let a key be one of a project.

    Raises:
        Conflict: another project of the workspace has it, or had it (code PROJECT_KEY_TAKEN).
    """
    if not await store.claim(work, workspace_id=workspace_id, project_id=project_id, key=key):
        raise Conflict(
            f"Another project of the workspace has the key {key}, or had it before; choose another.",
            code="PROJECT_KEY_TAKEN",
            violations=[Violation("key", "leads to another project", "taken")],
        )


async def named(work: UnitOfWork, project: Project) -> Project:
    """A new project with its key: the one it names, or one made from its name.

    Raises:
        Conflict: the one it names is another's (code PROJECT_KEY_TAKEN).
    """
    scope = {"workspace_id": project.workspace_id, "project_id": project.id}
    if project.key:
        await claim(work, **scope, key=project.key)
        return project
    return replace(project, key=await _free(work, project))


async def numbered(work: UnitOfWork, tasks: Sequence[Task]) -> Sequence[Task]:
    """Tasks of one workspace, those of projects with their numbers: each without one gets the next.

    A project from before there were keys gets its own now, with an event.

    Raises:
        NotFound: a project is gone (code PROJECT_NOT_FOUND).
    """
    places = [(task.id, task.project_id) for task in tasks if task.project_id is not None and task.number is None]
    if not places:
        return tasks
    workspace_id = tasks[0].workspace_id
    found = await store.number(work, workspace_id=workspace_id, places=places)
    keys: dict[UUID, str] = {}
    for task_id, project_id in sorted(places, key=lambda place: place[1]):
        if task_id not in found:
            raise NotFound("There is no such project in the task's workspace.", code="PROJECT_NOT_FOUND")
        if project_id not in keys:
            now = next(task.updated_at for task in tasks if task.id == task_id)
            keys[project_id] = found[task_id][1] or await _name_late(work, workspace_id, project_id, now=now)
    return [
        replace(task, number=found[task.id][0], key=domain.task_key(keys[task.project_id], found[task.id][0]))
        if task.project_id is not None and task.id in found
        else task
        for task in tasks
    ]


async def numbered_events(work: UnitOfWork, events: Sequence[TaskEvent]) -> Sequence[TaskEvent]:
    """The events of one task, with the number that it gets if it needs one (see `numbered`)."""
    last = events[-1].task if events else None
    if last is None or last.project_id is None or last.number is not None:
        return events
    (task,) = await numbered(work, [last])
    return [
        replace(event, task=replace(event.task, number=task.number, key=task.key))
        if event.task.project_id == task.project_id
        else event
        for event in events
    ]


async def shown(work: UnitOfWork, tasks: Sequence[Task]) -> Sequence[Task]:
    """Tasks of one workspace that have numbers, with the keys that they have now."""
    places = {task.id: (task.project_id, task.number) for task in tasks if task.project_id and task.number}
    if not places:
        return tasks
    project_ids = sorted({project_id for project_id, _ in places.values()})
    keys = await store.keys_of(work, workspace_id=tasks[0].workspace_id, project_ids=project_ids)
    now = {task_id: domain.task_key(keys[project_id], number) for task_id, (project_id, number) in places.items()}
    return [replace(task, key=now.get(task.id)) for task in tasks]


async def _name_late(work: UnitOfWork, workspace_id: UUID, project_id: UUID, *, now: datetime) -> str:
    project = await project_store.hold(work, workspace_id=workspace_id, project_id=project_id)
    if project is None:
        raise LookupError("a project whose row is held is gone")
    key = await _free(work, project)
    for event in projects.edit(project, {"key": key}, now=now):
        work.append(project_messages.event_message(event))
        await project_store.project(work, event)
    return key


async def _free(work: UnitOfWork, project: Project) -> str:
    """A key made from the name of a project, which from now on is its own."""
    scope = {"workspace_id": project.workspace_id}
    taken = await store.taken(work, **scope, stem=domain.stem(project.name))
    for key in domain.candidates(project.name):
        # Another may take it at the same time.
        if key not in taken and await store.claim(work, **scope, project_id=project.id, key=key):
            return key
    raise LookupError("there is always another key")
