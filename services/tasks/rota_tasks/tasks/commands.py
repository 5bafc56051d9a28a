"""What changes tasks: one function a use case, one transaction each.

Two at once: the task's row is locked first, behind what else the change needs (see `locks`), so they take turns, and
`If-Match` tells the loser. Dying before the commit leaves nothing; after it everything, the event included. A repeated
call with the same request id returns the task of the first.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import (
    Conflict,
    NotFound,
)
from rota_chassis.ids import uuid7
from rota_chassis.memberships import VIEWER, WRITERS, require_role

from rota_tasks import locks
from rota_tasks.executions import accepting, unblocking
from rota_tasks.executions import domain as executions
from rota_tasks.keys import commands as keys
from rota_tasks.preconditions import require_version
from rota_tasks.series import following, planning
from rota_tasks.tasks import domain, favourites, queries, requirements, store, tree, values, workflow
from rota_tasks.tasks.domain import OPEN, Standing, Status, Task
from rota_tasks.tasks.messages import event_message, task_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.memberships import Guard
    from rota_chassis.postgres.work import Lock, UnitOfWork
    from rota_chassis.requests import Request

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import TaskEvent


READERS = WRITERS | {VIEWER}
_ASKED_ABOUT = ("assignee_ids", "fields", "recurrence", "execution")
"""What of a new task others are asked about before its transaction."""


async def create_task(
    tasks: Tasks, user: UserPrincipal, *, workspace_id: UUID, request: Request | None, **fields: Any
) -> Task:
    """Create a task.

    Args:
        tasks: What it needs.
        user: Who creates it.
        workspace_id: Where.
        request: Makes the call idempotent, if given.
        fields: Of `domain.Task`: title, and any of those that `domain.edit` may set, but for status.

    Raises:
        NotFound: the workspace, project or a label does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: an assignee is not a member, or does not see the project.
        Unprocessable: the request id was used for another content.
    """
    project_id = fields.get("project_id")
    # In a project the role counts that the user has there (see `add`).
    roles = WRITERS if project_id is None else READERS
    if any(fields.get(name) for name in _ASKED_ABOUT):
        # Who does not belong to the workspace learns nothing of it by asking.
        await tasks.memberships.require(user.user_id, workspace_id, roles)
    await requirements.require_members(tasks, workspace_id, project_id, fields.get("assignee_ids", ()))
    await values.require_people(tasks, workspace_id, project_id, fields)
    if fields.get("recurrence") is not None:
        fields = await planning.begun(tasks, fields)
    if fields.get("execution") is not None:
        fields["execution"] = await accepting.begun(tasks, user, workspace_id, fields["execution"])
    now = tasks.clock.now()
    task = Task(
        id=uuid7(),
        workspace_id=workspace_id,
        created_by=user.user_id,
        created_at=now,
        updated_at=now,
        standing=Standing(),
        **fields,
    )

    async def create(guard: Guard, work: UnitOfWork) -> Task:
        await guard(work)
        made = await store.REQUESTS.record(
            work, request, workspace_id=workspace_id, user_id=user.user_id, makes=task.id
        )
        if made is not None:
            return await _made_before(work, user, made)
        return await add(work, user, task)

    # Any number may be added to others at once, but not while something moves or is deleted.
    held = [locks.structure(workspace_id, alone=False)] if task.parent_id is not None else []
    return await tasks.memberships.guarded(
        lambda guard: tasks.database.ordered(partial(create, guard), *held),
        user_id=user.user_id,
        workspace_id=workspace_id,
        roles=roles,
    )


async def add(work: UnitOfWork, user: UserPrincipal, task: Task) -> Task:
    """Create a task in a transaction that holds the structure of the workspace, if it is a part of another.

    Whether the user may write in the workspace, if the task is in no project, is the caller's to ask.

    Returns:
        The task in its place.

    Raises:
        NotFound: the workspace has no such project, label or parent for the user, or the project no such state or
            section.
        PermissionDenied: the user's role in the project, or in that of the parent, does not allow writing.
        Conflict: it would be too deep, or its state is full.
        InvalidArgument: a value does not fit its custom field, or one is missing.
    """
    await requirements.require_project(work, user, task.workspace_id, task.project_id)
    if task.label_ids:
        await requirements.require_labels(work, task.workspace_id, task.label_ids)
    await requirements.require_place(work, user, task.workspace_id, task.id, task.parent_id)
    if task.recurrence is not None:
        await requirements.require_not_nested(work, task.workspace_id, task.parent_id)
    task = await workflow.place_new(work, task)
    await values.require_values(work, task)
    (created,) = await apply(work, [domain.TaskCreated(task)])
    return created.task


async def edit_task(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, changes: Mapping[str, Any], if_match: str = ""
) -> Task:
    """Set the named fields of a task (see `domain.edit`).

    Raises:
        NotFound: the task, project or a label does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: an assignee is not a member.
        PreconditionFailed: the task's entity tag is another.
    """
    held = []
    if changes.get("recurrence") is not None and "series_id" not in changes:
        seen = await queries.get_task(tasks, user, task_id=task_id)
        changes = await planning.asked(tasks, seen, changes)
    if changes.get("parent_id") is not None:
        workspace_id = (await queries.get_task(tasks, user, task_id=task_id)).workspace_id
        held.append(locks.structure(workspace_id, alone=True))
    if changes.get("assignee_ids"):
        task = await queries.get_task(tasks, user, task_id=task_id)
        newcomers = [each for each in changes["assignee_ids"] if each not in task.assignee_ids]
        project_id = changes.get("project_id", task.project_id)
        await requirements.require_members(tasks, task.workspace_id, project_id, newcomers)
    if isinstance(changes.get("action"), dict):
        task = await queries.get_task(tasks, user, task_id=task_id)
        changes = await accepting.asked(tasks, user, task, changes)
    if values.persons(changes):
        task = await queries.get_task(tasks, user, task_id=task_id)
        await values.require_people(tasks, task.workspace_id, changes.get("project_id", task.project_id), changes)

    async def decide(work: UnitOfWork, task: Task) -> Sequence[TaskEvent]:
        events = await edit(work, tasks, user, task, changes)
        if "series_id" in changes:
            await following.leave(work, task, now=tasks.clock.now())
        return events

    return await _change(tasks, user, task_id, decide, if_match=if_match, held=held)


async def edit(
    work: UnitOfWork, tasks: Tasks, user: UserPrincipal, task: Task, changes: Mapping[str, Any]
) -> Sequence[TaskEvent]:
    """What follows when the named fields of a locked task are set; the structure is held if its parent is named.

    Raises:
        NotFound: the workspace has no such project, label or parent for the user, or the project no such state or
            section.
        PermissionDenied: the user's role where the task goes does not allow writing.
        Conflict: the parent is the task itself or below it, it would be too deep, a transition is refused, or a state
            is full.
        InvalidArgument: a value does not fit its custom field, or one is missing that must not be.
    """
    await require_way(work, tasks, user, task, changes)
    await requirements.require_labels(work, task.workspace_id, changes.get("label_ids", ()))
    parent_id = changes.get("parent_id")
    if parent_id != task.parent_id:
        await requirements.require_place(work, user, task.workspace_id, task.id, parent_id)
    if changes.get("recurrence", task.recurrence) is not None and {"recurrence", "parent_id"} & changes.keys():
        await requirements.require_not_nested(work, task.workspace_id, changes.get("parent_id", task.parent_id))
    settled = await workflow.settle(work, tasks, user, task, executions.settle(task, changes))
    settled = await values.settle(work, task, settled)
    if task.status not in OPEN and settled.get("status") in OPEN:
        # Others may rely on it: what it is a part of, and what it blocks.
        await tree.lock(work, task.workspace_id, exclusive=False)
    return domain.edit(task, settled, by=user.user_id, now=tasks.clock.now())


async def require_way(
    work: UnitOfWork, tasks: Tasks, user: UserPrincipal, task: Task, changes: Mapping[str, Any]
) -> None:
    """Return if the user may bring the task to the project that the changes name, or out of all."""
    project_id = changes.get("project_id", task.project_id)
    if project_id == task.project_id:
        return
    await requirements.require_project(work, user, task.workspace_id, project_id)
    if project_id is None:
        role = await tasks.memberships.known_role(work, user.user_id, task.workspace_id)
        require_role(role or VIEWER, WRITERS)


async def assign_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, assignee_id: UUID) -> Task:
    """Add an assignee.

    Raises:
        NotFound: the task does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: the assignee is not a member, or the task has as many assignees as it may.
    """
    task = await queries.get_task(tasks, user, task_id=task_id)
    await requirements.require_members(tasks, task.workspace_id, task.project_id, [assignee_id], field="assignee_id")

    return await _change(tasks, user, task_id, _pure(lambda task: assign(task, assignee_id, now=tasks.clock.now())))


def assign(task: Task, assignee_id: UUID, *, now: datetime) -> Sequence[TaskEvent]:
    """What follows when an assignee is added (see `domain.assign`).

    Raises:
        Conflict: the task has as many assignees as it may.
    """
    try:
        return domain.assign(task, assignee_id, now=now)
    except OverflowError as error:
        raise Conflict(f"{error}.".capitalize(), code="TOO_MANY_ASSIGNEES") from error


async def unassign_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, assignee_id: UUID) -> Task:
    """Take an assignee off. Raises as `complete_task`."""
    return await _change(
        tasks, user, task_id, _pure(lambda task: domain.unassign(task, assignee_id, now=tasks.clock.now()))
    )


async def watch_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID) -> Task:
    """Add the user to those who watch a task; to see it is enough.

    Raises:
        NotFound: the task does not exist for the user.
        Conflict: the task has as many watchers as it may.
    """

    async def decide(_work: UnitOfWork, task: Task) -> Sequence[TaskEvent]:
        try:
            return domain.watch(task, user.user_id, now=tasks.clock.now())
        except OverflowError as error:
            raise Conflict(f"{error}.".capitalize(), code="TOO_MANY_WATCHERS") from error

    return await _change(tasks, user, task_id, decide, roles=READERS)


async def unwatch_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID) -> Task:
    """Take the user off those who watch a task.

    Raises:
        NotFound: the task does not exist for the user.
    """
    decide = _pure(lambda task: domain.unwatch(task, user.user_id, now=tasks.clock.now()))
    return await _change(tasks, user, task_id, decide, roles=READERS)


async def favour_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, favourite: bool) -> Task:
    """Make a task a favourite of the user, or none; no part of the task itself, so without an event.

    Raises:
        NotFound: the task does not exist for the user.
    """
    await queries.get_task(tasks, user, task_id=task_id)
    async with tasks.database.transaction() as work:
        await favourites.mark(work, user_id=user.user_id, task_id=task_id, favourite=favourite)
    return await queries.get_task(tasks, user, task_id=task_id)


async def complete_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, if_match: str = "") -> Task:
    """Make a task done.

    Raises:
        NotFound: the task does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: its project does not allow it now (code TRANSITION_REFUSED or WIP_LIMIT_REACHED).
        PreconditionFailed: the task's entity tag is another.
    """
    return await edit_task(tasks, user, task_id=task_id, changes={"status": Status.DONE}, if_match=if_match)


async def reopen_task(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, if_match: str = "") -> Task:
    """Return a task to the state it had before it was done or cancelled. Raises as `complete_task`."""

    async def decide(work: UnitOfWork, task: Task) -> Sequence[TaskEvent]:
        return await reopen(work, tasks, user, task)

    return await _change(tasks, user, task_id, decide, if_match=if_match)


async def reopen(work: UnitOfWork, tasks: Tasks, user: UserPrincipal, task: Task) -> Sequence[TaskEvent]:
    """What follows when a locked task returns to the state it had before. Raises as `edit`."""
    events = domain.reopen(task, now=tasks.clock.now())
    if not events:
        return events
    back = events[-1].task
    changes = {"status": back.status} | ({"state_id": back.state_id} if back.state_id else {})
    return await edit(work, tasks, user, task, changes)


async def _change(
    tasks: Tasks,
    user: UserPrincipal,
    task_id: UUID,
    decide: Callable[..., Any],
    *,
    if_match: str = "",
    held: Iterable[Lock] = (),
    roles: frozenset[str] = WRITERS,
) -> Task:
    """Lock the task, let `decide` say what happens to it, and make it so; the task as it then is.

    Args:
        tasks: What it needs.
        user: Who changes it.
        task_id: Which.
        decide: The transaction and the task -> the events that follow.
        if_match: The entity tag it must have.
        held: What else is held, as far as it is known before.
        roles: Who may.
    """

    async def change(work: UnitOfWork) -> Task | None:
        task = await lock(work, user, task_id, if_match, roles=roles)
        if task is None:
            return None
        events = await apply(work, await decide(work, task))
        return events[-1].task if events else task

    for _attempt in range(2):
        changed = await tasks.database.ordered(change, *held)
        if changed is not None:
            return changed
        await tasks.memberships.refresh(user.user_id)
    raise queries.no_such_task()


async def lock(
    work: UnitOfWork, user: UserPrincipal, task_id: UUID, if_match: str, *, roles: frozenset[str] = WRITERS
) -> Task | None:
    """The task, locked, when the user may change it and it is as they think; None when there is none for them."""
    found = await store.lock(work, user_id=user.user_id, task_id=task_id)
    if found is None:
        return None
    task, role = found
    require_role(role, roles)
    require_version(if_match, version=task.version, etag=task.etag, current=lambda: task_message(task))
    return task


def _pure(decide: Callable[[Task], Sequence[TaskEvent]]) -> Callable[..., Any]:
    async def decide_alone(_work: UnitOfWork, task: Task) -> Sequence[TaskEvent]:
        return decide(task)

    return decide_alone


async def apply(work: UnitOfWork, events: Sequence[TaskEvent]) -> Sequence[TaskEvent]:
    """Make it so: the events into the log, the last into the read table.

    Returns:
        The events, with the number that the task gets if it has none in its project.
    """
    events = await keys.numbered_events(work, events)
    for event in events:
        work.append(event_message(event))
    if events:
        await following.follow(work, events[-1].task)
        # Each event holds the whole task, so that the last is all the read table needs.
        await store.project(work, events[-1])
        await unblocking.follow(work, events)
    return events


async def _made_before(work: UnitOfWork, user: UserPrincipal, task_id: UUID) -> Task:
    task = await store.get(work, user_id=user.user_id, task_id=task_id)
    if task is None:
        raise NotFound("The task that this call made has been deleted.", code="TASK_NOT_FOUND")
    return task
