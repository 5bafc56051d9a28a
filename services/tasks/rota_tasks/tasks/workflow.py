"""Where a task may stand in its project: which state and section, and at which place.

Every path that changes a task goes through `settle`, so that guards and limits hold on each of them. From the decision
to the commit the board of the project is held, and where a guard asks what stands around the task, the structure of the
workspace; their transactions are ordered (see `locks`), so that both were held before the task's row was read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict, NotFound, Violation

from rota_tasks.boards import domain as boards
from rota_tasks.boards import positions, store
from rota_tasks.boards.domain import MAX_POSITION, Guard, Section, State
from rota_tasks.projects import store as projects
from rota_tasks.projects.queries import no_such_project
from rota_tasks.tasks import domain, tree
from rota_tasks.tasks import store as task_store
from rota_tasks.tasks.domain import Status, Task
from rota_tasks.tasks.messages import event_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.tasks.dependencies import Tasks


@dataclass(frozen=True, slots=True)
class Place:
    """Where to put a task by hand: before or after another of its project, or behind all."""

    before_id: UUID | None = None
    after_id: UUID | None = None


async def place_new(work: UnitOfWork, task: Task) -> Task:
    """The new task in its state: the one it names, or the first of its project.

    Raises:
        NotFound: its project has no such state or section.
        Conflict: the state is full (code WIP_LIMIT_REACHED).
    """
    if task.section_id is not None:
        await _require_section(work, task, task.project_id, task.section_id)
    if task.project_id is None:
        if task.state_id is not None:
            raise _no_such_state()
        return task
    states = await _states(work, task.workspace_id, task.project_id)
    if not states and task.state_id is None:
        return task
    state = next((each for each in states if each.id == task.state_id), None)
    if task.state_id is None:
        state = boards.initial(states)
    if state is None:
        raise _no_such_state()
    await _require_room(work, task, state)
    task = replace(task, state_id=state.id, status=state.group)
    if state.group is Status.DONE:
        task = replace(task, completed_at=task.created_at, completed_by=task.created_by)
    return task


async def settle(
    work: UnitOfWork, tasks: Tasks, user: UserPrincipal, task: Task, changes: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The changes as the task's project takes them: with the state that a status means and the position of a place.

    Args:
        work: The transaction, in which the task's row is locked.
        tasks: What it needs.
        user: Who changes it.
        task: As it is, with its standing.
        changes: New values by field, and under `place` a `Place`.

    Raises:
        NotFound: the project has no such state, section or neighbor.
        Conflict: a transition is refused, a state is full, or the task has no project to have a place in.
    """
    settled = dict(changes)
    place: Place | None = settled.pop("place", None)
    project_id = settled.get("project_id", task.project_id)
    leaves = project_id != task.project_id
    if leaves:
        settled = {"section_id": None} | settled | {"position": None, "state_id_before": None}
        settled.setdefault("state_id", None)
    wants_state = leaves or "state_id" in settled or settled.get("status", task.status) is not task.status
    section_id = settled.get("section_id")
    if section_id is not None and section_id != task.section_id:
        await _require_section(work, task, project_id, section_id)
    if wants_state:
        settled |= await _settle_state(work, user, task, settled)
    if place is not None:
        settled["position"] = await _position(work, task, place, now=tasks.clock.now())
    return settled


async def _settle_state(
    work: UnitOfWork, user: UserPrincipal, task: Task, changes: Mapping[str, Any]
) -> Mapping[str, Any]:
    project_id = changes.get("project_id", task.project_id)
    state_id, status = changes.get("state_id"), changes.get("status")
    if status is None and state_id is None:
        status = task.status
    states = await _states(work, task.workspace_id, project_id) if project_id is not None else []
    if not states:
        if status is None:
            raise _no_such_state()
        return {"status": status, "state_id": None}
    to = boards.target(states, task.state_id, status=status, state_id=state_id)
    if to is None and status is None:
        raise _no_such_state()
    if to is None:
        raise Conflict(
            f"The project has no state of the group {status}; define one, or choose another status.",
            code="TRANSITION_REFUSED",
            violations=[Violation("status", "the project has no state of this group", "transition")],
        )
    if to.id != task.state_id:
        source = next((each for each in states if each.id == task.state_id), None)
        await _require_way(work, user, task, changes, source=source, to=to)
        await _require_room(work, replace(task, project_id=project_id), to)
    return {"status": to.group, "state_id": to.id}


async def _require_way(
    work: UnitOfWork,
    user: UserPrincipal,
    task: Task,
    changes: Mapping[str, Any],
    *,
    source: State | None,
    to: State,
) -> None:
    role = await projects.role(work, user_id=user.user_id, workspace_id=task.workspace_id, project_id=to.project_id)
    if role is None:
        raise no_such_project()
    shown = replace(task, **{name: value for name, value in changes.items() if name not in ("place", "field_values")})
    guards = boards.guards(source, to)
    if guards - {Guard.CHECKLIST_DONE}:
        await tree.lock(work, task.workspace_id, exclusive=True)
    if guards:
        # What was done to its subtasks, blockers and checklist while this waited for its row counts as well. So do
        # those that the user does not see: what a project asks for holds for all.
        shown = replace(shown, standing=await task_store.standing(work, task))
    refused = boards.refusals(source, to, shown, role)
    if refused:
        raise Conflict(
            f"The task cannot go to {to.name} now: {'; '.join(each.description for each in refused)}.",
            code="TRANSITION_REFUSED",
            violations=[Violation(each.field, each.description, each.guard) for each in refused],
        )


async def _states(work: UnitOfWork, workspace_id: UUID, project_id: UUID) -> Sequence[State]:
    """The states of a project, whose board is held from then on if it has any."""
    states = await store.columns(work, State, workspace_id=workspace_id, project_id=project_id)
    if states and await store.lock(work, project_id):
        states = await store.columns(work, State, workspace_id=workspace_id, project_id=project_id)
    return states


async def _position(work: UnitOfWork, task: Task, place: Place, *, now: datetime) -> str:
    if task.project_id is None:
        raise Conflict("Only a task of a project has a place; give it a project first.", code="TASK_WITHOUT_PROJECT")
    neighbor_id = place.before_id or place.after_id
    if neighbor_id == task.id:
        return boards.rank(task.id, task.position)
    await store.lock(work, task.project_id)
    gap = await _gap(work, task, task.project_id, place)
    position = boards.between(*gap)
    if len(position) > MAX_POSITION:
        await tree.lock(work, task.workspace_id, exclusive=True)
        around = await positions.around(work, task, project_id=task.project_id, gap=gap)
        events = [domain.spread(each, position, now=now) for each, position in around]
        work.append(*map(event_message, events))
        await positions.place(work, [event.task for event in events])
        position = boards.between(*await _gap(work, task, task.project_id, place))
    return position


async def _gap(work: UnitOfWork, task: Task, project_id: UUID, place: Place) -> tuple[str | None, str | None]:
    gap = await positions.gap(work, task, project_id=project_id, before_id=place.before_id, after_id=place.after_id)
    if gap is None:
        field = "before_id" if place.before_id else "after_id"
        raise NotFound(
            "There is no such task in the project to stand beside.",
            code="NEIGHBOR_NOT_FOUND",
            violations=[Violation(field, "is not a task of the project", "not_found")],
        )
    return gap


async def _require_room(work: UnitOfWork, task: Task, state: State) -> None:
    if not state.wip_limit:
        return
    there = await store.count_in(
        work,
        State,
        workspace_id=task.workspace_id,
        project_id=state.project_id,
        column_id=state.id,
        besides=task.id,
    )
    if there >= state.wip_limit:
        raise Conflict(
            f"{state.name} is full: it may hold {state.wip_limit}; move a task out of it first.",
            code="WIP_LIMIT_REACHED",
            violations=[Violation("state_id", f"may hold {state.wip_limit}, and does", "wip_limit")],
        )


async def _require_section(work: UnitOfWork, task: Task, project_id: UUID | None, section_id: UUID) -> None:
    if project_id is not None:
        await store.lock(work, project_id)
        sections = await store.columns(work, Section, workspace_id=task.workspace_id, project_id=project_id)
        if any(each.id == section_id for each in sections):
            return
    raise NotFound(
        "There is no such section in the task's project.",
        code="SECTION_NOT_FOUND",
        violations=[Violation("section_id", "is not a section of the project", "not_found")],
    )


def _no_such_state() -> NotFound:
    return NotFound(
        "There is no such state in the task's project.",
        code="STATE_NOT_FOUND",
        violations=[Violation("state_id", "is not a state of the project", "not_found")],
    )
