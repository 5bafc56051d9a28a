"""What the scheduler says of the runs of tasks' actions is noted on the tasks, which it may complete.

Delivered twice: the inbox knows. Delivered late, or about an action that the task has no more: it counts for nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from rota.events.v1 import events_pb2
from rota_chassis.errors import RotaError, Unavailable
from rota_chassis.events.log import NewEvent
from rota_chassis.identity import ROLE_USER, Principal, UserPrincipal, acting_as
from rota_chassis.logs import logger

from rota_tasks.boards import store as boards
from rota_tasks.executions import domain, store
from rota_tasks.executions.execution import RunStatus
from rota_tasks.executions.messages import run_of
from rota_tasks.tasks import commands
from rota_tasks.tasks import store as tasks_store
from rota_tasks.tasks.domain import Status
from rota_tasks.tasks.messages import event_message, task_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task

_LOG = logger(__name__)


def handlers(tasks: Tasks) -> Mapping[str, Handler]:
    """The events that tell of runs, for `Runtime.consume`."""

    async def on_run(work: UnitOfWork, event: Event) -> None:
        said = event.data
        key = {"workspace_id": event.workspace_id, "task_id": UUID(said.task_id)}
        run, now = run_of(said.run), tasks.clock.now()
        project_id = await store.project_of(work, **key)
        if project_id is not None:
            # As whoever completes it: the board before the row (see `locks`).
            await boards.lock(work, project_id)
        task = await store.lock(work, **key)
        if task is None:
            return
        with acting_as(Principal(service="scheduler", causation_depth=event.causation_depth)):
            events = domain.note_run(task, UUID(said.action_id), run, now=now)
            for each in events:
                work.append(event_message(each))
                await tasks_store.project(work, each)
                task = each.task
        if events and run.status is RunStatus.FAILED:
            work.append(await _failed(work, tasks, task, event))
        if events and domain.completes(task, run):
            await _complete(work, tasks, task, event.causation_depth)

    return dict.fromkeys(("task_run.queued", "task_run.started", "task_run.ended"), on_run)


async def _failed(work: UnitOfWork, tasks: Tasks, task: Task, told: Event) -> NewEvent:
    """The event that the action of a task failed, as the task says now."""
    concerned = list(task.assignee_ids)
    given_by = task.execution.given_by if task.execution else None
    if given_by is not None and await tasks.memberships.known_role(work, given_by, task.workspace_id):
        concerned.append(given_by)
    data = events_pb2.TaskRunFailed(
        task=task_message(task if task.standing is None else replace(task, standing=None)),
        recipient_ids=map(str, dict.fromkeys(concerned)),
    )
    # The next version of what it tells further.
    return NewEvent(
        task.workspace_id,
        told.aggregate_id,
        told.aggregate_version + 1,
        data,
        tasks.clock.now(),
        causation_depth=told.causation_depth,
    )


async def _complete(work: UnitOfWork, tasks: Tasks, task: Task, causation_depth: int) -> None:
    """Complete it on behalf of who gave the action; it stays open when its project does not allow that now."""
    if task.execution is None or task.execution.given_by is None:
        return
    user_id = task.execution.given_by
    user = UserPrincipal(user_id, task.workspace_id, ROLE_USER, None)
    principal = Principal(
        user_id=user_id, workspace_id=task.workspace_id, service="scheduler", causation_depth=causation_depth
    )
    try:
        with acting_as(principal):
            async with work.savepoint():
                await commands.apply(work, await commands.edit(work, tasks, user, task, {"status": Status.DONE}))
    except Unavailable:
        raise
    except RotaError as error:
        _LOG.info("execution.not_completed", task_id=task.id, code=error.code)
