"""What changes several occurrences at once, and what makes the next one: one transaction each.

Two at once: whoever changes several holds the structure of the workspace alone, and whoever makes one shares it; the
row of the series comes after its tasks. Delivered twice: an occurrence is made only while the series is at the version
from which it was computed. Dying before the commit leaves nothing; what was due is then due still.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict, NotFound
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_tasks import locks
from rota_tasks.boards import domain as boards
from rota_tasks.boards import store as board_store
from rota_tasks.boards.domain import Section, State
from rota_tasks.executions import accepting
from rota_tasks.executions.execution import NAMES as OF_EXECUTION
from rota_tasks.fields.domain import fitting
from rota_tasks.keys import commands as keys
from rota_tasks.preconditions import require_version
from rota_tasks.projects import store as projects
from rota_tasks.series import carrying, domain, following, planning, store
from rota_tasks.series.domain import DATES, SHARED
from rota_tasks.series.recurrence import Anchor
from rota_tasks.tasks import commands, requirements, tree
from rota_tasks.tasks import store as task_store
from rota_tasks.tasks.domain import OPEN, Status, Task, TaskCreated
from rota_tasks.tasks.messages import event_message, task_message
from rota_tasks.tasks.queries import get_task, no_such_task
from rota_tasks.trash import commands as trash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.series.domain import Series
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import TaskEvent


_SHARED = OF_EXECUTION.union(SHARED, {"fields", "field_values"})


async def edit_occurrences(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    task_id: UUID,
    changes: Mapping[str, Any],
    following_only: bool,
    if_match: str = "",
) -> Task:
    """Set the named fields of an occurrence, of the open ones after it or of all, and of those to come.

    New dates begin a new series with this occurrence; what says how far the work is concerns it alone.

    Raises:
        NotFound: as `tasks.commands.edit_task`.
        PermissionDenied: the user's role does not allow writing.
        Conflict: as `tasks.commands.edit_task`, or new dates are given for an occurrence that is not the newest (code
            NOT_THE_LATEST_OCCURRENCE).
        PreconditionFailed: the task's entity tag is another.
    """
    seen = await get_task(tasks, user, task_id=task_id)
    rule = changes.get("recurrence")
    if rule is not None and seen.recurrence is not None and rule.is_that_of(seen.recurrence):
        changes = {name: value for name, value in changes.items() if name != "recurrence"}
    if seen.recurrence is None or seen.series_id is None or "recurrence" in changes:
        return await commands.edit_task(tasks, user, task_id=task_id, changes=changes, if_match=if_match)
    if any(changes.get(name, getattr(seen, name)) != getattr(seen, name) for name in (*DATES, "time_zone")):
        changes = await planning.moved_on(tasks, seen, changes)
        return await commands.edit_task(tasks, user, task_id=task_id, changes=changes, if_match=if_match)
    if isinstance(changes.get("action"), dict):
        changes = await accepting.asked(tasks, user, seen, changes)
    newcomers = [each for each in changes.get("assignee_ids", ()) if each not in seen.assignee_ids]
    project_id = changes.get("project_id", seen.project_id)
    await requirements.require_members(tasks, seen.workspace_id, project_id, newcomers)
    since = seen.occurrence if following_only else None

    async def edit(work: UnitOfWork) -> Task:
        members = await _lock(work, user, seen, since=since, closed_too=following_only, if_match=if_match)
        new_id = uuid7() if following_only else None
        events: dict[UUID, Sequence[TaskEvent]] = {}
        for each in members:
            mine = _changes_of(each, changes, is_named=each.id == task_id)
            moves = {"series_id": new_id} if new_id else {}
            events[each.id] = await commands.edit(work, tasks, user, each, mine | moves)
        named = next(each for each in members if each.id == task_id)
        if events[task_id]:
            named = events[task_id][-1].task
        await _revise(work, seen, named, changes, new_id=new_id)
        for each_id, each_events in events.items():
            applied = await commands.apply(work, each_events)
            if each_id == task_id and applied:
                named = applied[-1].task
        return named

    # More than one task is locked.
    return await tasks.database.ordered(edit, locks.structure(seen.workspace_id, alone=True))


async def delete_occurrences(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, following_only: bool, if_match: str = ""
) -> None:
    """End a series, from an occurrence on or altogether: what is open goes to the trash, the occurrence itself too.

    Raises:
        NotFound: the task does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: the task's entity tag is another.
    """
    seen = await get_task(tasks, user, task_id=task_id)
    if seen.series_id is None:
        await trash.delete_task(tasks, user, task_id=task_id, if_match=if_match)
        return
    since = seen.occurrence if following_only else None

    async def remove(work: UnitOfWork) -> None:
        members = await _lock(work, user, seen, since=since, closed_too=False, if_match=if_match)
        now = tasks.clock.now()
        await following.leave(work, seen, now=now)
        for each in members:
            await trash.remove(work, each, by=user.user_id, now=now)

    await tasks.database.ordered(remove, locks.structure(seen.workspace_id, alone=True))


async def skip_occurrence(tasks: Tasks, user: UserPrincipal, *, task_id: UUID, occurrence: str) -> None:
    """Take an occurrence out of the series of a task: the task that it has is deleted, or it never gets any.

    Raises:
        NotFound: the task does not exist for the user, or the series has no such occurrence (code
            OCCURRENCE_NOT_FOUND).
        PermissionDenied: the user's role does not allow writing.
        Conflict: as many are skipped as may be (code TOO_MANY_SKIPPED).
    """
    seen = await get_task(tasks, user, task_id=task_id)
    series = await planning.series_of(tasks, seen)
    if series is None:
        raise _no_such_occurrence()
    key = {"workspace_id": series.workspace_id, "series_id": series.id}
    if await store.has(tasks.database, **key, occurrence=occurrence):
        its_task = await store.task_of(tasks.database, **key, occurrence=occurrence)
        if its_task is not None and await task_store.get(tasks.database, user_id=user.user_id, task_id=its_task):
            await trash.delete_task(tasks, user, task_id=its_task)
        return
    if not await _is_planned(tasks, series, occurrence):
        raise _no_such_occurrence()
    async with tasks.database.transaction() as work:
        locked = await task_store.lock(work, user_id=user.user_id, task_id=task_id)
        if locked is None:
            raise no_such_task()
        require_role(locked[1], WRITERS)
        found = await store.lock(work, **key)
        if found is None or found.ended_at is not None or found.latest >= occurrence:
            raise _no_such_occurrence()
        try:
            await following.apply(work, domain.skip(found, occurrence, now=tasks.clock.now()))
        except OverflowError as error:
            raise Conflict(f"{error}.".capitalize(), code="TOO_MANY_SKIPPED") from error


async def make_occurrence(
    work: UnitOfWork, tasks: Tasks, *, workspace_id: UUID, series_id: UUID, version: int, occurrence: str | None
) -> None:
    """Give an occurrence its task, or end the series when there is none; nothing when the series is another by now.

    What the template names and is gone is left out; a state that is full holds one more. What is taken over is that of
    the newest occurrence before it, with nothing done.

    Args:
        work: The transaction.
        tasks: What it needs.
        workspace_id: Where.
        series_id: Of which series.
        version: The version of the series from which the occurrence was computed.
        occurrence: Which.
    """
    key = {"workspace_id": workspace_id, "series_id": series_id}
    seen = await store.get(work, **key)
    if seen is None or seen.version != version or seen.ended_at is not None:
        return
    if seen.template.project_id is not None:
        await board_store.lock(work, seen.template.project_id)
    # Whoever changes several occurrences has this one among them, or it is made of what they are then.
    await tree.lock(work, workspace_id, exclusive=False)
    now = tasks.clock.now()
    if occurrence is None:
        series = await store.lock(work, **key)
        if series is not None and series.version == version:
            await following.apply(work, domain.end(series, now=now))
        return
    seen = await store.get(work, **key)
    if seen is None or seen.version != version:
        return
    source = await carrying.read(work, seen)
    task = domain.task_of_occurrence(seen, occurrence, task_id=uuid7(), now=now)
    if source is None or source.carried.fields:
        task = replace(task, fields=(source.task if source else seen.template).fields)
    task = await _placed(work, task)
    series = await store.lock(work, **key)
    if series is None or series.version != version:
        return
    if not await store.has(work, **key, occurrence=occurrence):
        (task,) = await keys.numbered(work, [task])
        work.append(event_message(TaskCreated(task)))
        await task_store.project(work, TaskCreated(task))
        if source is not None:
            await carrying.write(work, source, task)
    await following.apply(work, domain.advance(series, occurrence, now=now))


async def _lock(
    work: UnitOfWork, user: UserPrincipal, seen: Task, *, since: str | None, closed_too: bool, if_match: str
) -> Sequence[Task]:
    found = await store.lock_tasks(work, seen, user_id=user.user_id, since=since, closed_too=closed_too)
    if found is None:
        raise no_such_task()
    members, role = found
    require_role(role, WRITERS)
    named = next(each for each in members if each.id == seen.id)
    require_version(if_match, version=named.version, etag=named.etag, current=lambda: task_message(named))
    return members


def _changes_of(task: Task, changes: Mapping[str, Any], *, is_named: bool) -> dict[str, Any]:
    """What an occurrence gets of a change of several: the named one all of it, others that are open their part."""
    if is_named:
        return dict(changes)
    return {name: value for name, value in changes.items() if name in _SHARED and task.status in OPEN}


async def _revise(
    work: UnitOfWork, seen: Task, named: Task, changes: Mapping[str, Any], *, new_id: UUID | None
) -> None:
    """Let occurrences to come begin as the change says; in a new series, if this one is to keep what was before."""
    shared = {name: getattr(named, name) for name in SHARED if name in changes}
    if OF_EXECUTION & changes.keys():
        shared["execution"] = named.execution.afresh if named.execution else None
    if "project_id" in shared:
        shared["section_id"] = named.section_id
    series = None
    if seen.series_id is not None:
        series = await store.lock(work, workspace_id=seen.workspace_id, series_id=seen.series_id)
    if series is None:
        return
    if new_id is None:
        await following.apply(work, domain.revise(series, shared, now=named.updated_at))
        return
    await following.apply(work, domain.split(series, new_id, shared, now=named.updated_at))
    await following.apply(work, domain.end(series, now=named.updated_at))


async def _is_planned(tasks: Tasks, series: Series, occurrence: str) -> bool:
    """Whether the rule has an occurrence later than the newest; what counts from a completion is not known before."""
    if series.ended_at is not None or series.recurrence.anchor is Anchor.COMPLETION or occurrence <= series.latest:
        return False
    try:
        before = domain.just_before(occurrence)
    except (ValueError, OverflowError):
        return False
    asked = replace(series, latest=max(before, series.latest), skipped=())
    return list(await planning.planned(tasks, asked, count=1)) == [occurrence]


async def _placed(work: UnitOfWork, task: Task) -> Task:
    """The task of an occurrence without what is gone: its parent, project, section, labels and people."""
    workspace_id = task.workspace_id
    if task.parent_id is not None:
        above = await tree.path(work, workspace_id=workspace_id, task_id=task.parent_id)
        task = task if above else replace(task, parent_id=None)
    task = replace(
        task,
        label_ids=await store.labels(work, workspace_id=workspace_id, label_ids=task.label_ids),
        assignee_ids=await store.members(
            work, workspace_id=workspace_id, project_id=task.project_id, user_ids=task.assignee_ids
        ),
        watcher_ids=await store.members(
            work, workspace_id=workspace_id, project_id=task.project_id, user_ids=task.watcher_ids
        ),
    )
    task = replace(task, fields=fitting(await carrying.fields_of(work, task), task.fields))
    if task.project_id is None:
        return task
    among: dict[str, Any] = {"workspace_id": workspace_id, "project_id": task.project_id}
    if not await projects.exists(work, **among):
        return replace(task, project_id=None, section_id=None, fields={})
    sections = {each.id for each in await board_store.columns(work, Section, **among)}
    task = task if task.section_id in sections else replace(task, section_id=None)
    states = await board_store.columns(work, State, **among)
    if not states:
        return task
    state = boards.initial(states)
    task = replace(task, state_id=state.id, status=state.group)
    if state.group is Status.DONE:
        task = replace(task, completed_at=task.created_at, completed_by=task.created_by)
    return task


def _no_such_occurrence() -> NotFound:
    return NotFound("The series of the task has no such occurrence.", code="OCCURRENCE_NOT_FOUND")
