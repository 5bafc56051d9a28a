"""Boards: the states and sections of a project, the ways between states, and the order of what stands in them.

Pure. Order is kept by keys as in fractional indexing (Greenspan, "Implementing Fractional Indexing"): between any two
there is a third, so that a move writes one row. Keys compare as bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from fractional_indexing import generate_key_between, generate_n_keys_between

from rota_tasks.tasks.domain import OPEN, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_tasks.tasks.domain import Task

MAX_COLUMNS = 50
"""States of a project, and sections of a project."""

MAX_POSITION = 64
"""How long a position may be, in characters; before one would be longer, those around it are spread out."""
ROOMY = 48
"""How long the positions of those spread out may be, so that it does not happen again at once."""

_DIGITS = "0123456789abcdef"
_ROLES = ("viewer", "member", "admin", "owner")
_WAYS_TO_SAY = {"due_at": ("due_at", "due_on"), "start_at": ("start_at", "start_on")}


class Guard(StrEnum):
    """What must hold for a transition."""

    ALL_SUBTASKS_DONE = "all_subtasks_done"
    NOT_BLOCKED = "not_blocked"
    CHECKLIST_DONE = "checklist_done"


@dataclass(frozen=True, slots=True)
class Transition:
    """A way out of a state; the fields are those of rota.tasks.v1.Transition."""

    to_state_id: UUID
    guards: tuple[Guard, ...] = ()
    role: str | None = None
    required_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a transition is refused: the guard, the field at fault, and a sentence's end."""

    guard: str
    field: str
    description: str


class Placed(Protocol):
    """Something that has a position among others."""

    @property
    def id(self) -> UUID:
        """What it is named by."""
        ...

    @property
    def position(self) -> str:
        """Where it stands."""
        ...


@dataclass(frozen=True, kw_only=True)
class Column:
    """What states and sections have in common."""

    id: UUID
    workspace_id: UUID
    project_id: UUID
    name: str
    position: str
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'


@dataclass(frozen=True, kw_only=True)
class Section(Column):
    """A part of a project; the fields are those of rota.tasks.v1.Section."""


@dataclass(frozen=True, kw_only=True)
class State(Column):
    """A state of a project; the fields are those of rota.tasks.v1.State."""

    group: Status
    color: str = ""
    wip_limit: int = 0
    transitions: tuple[Transition, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnEvent:
    """Something happened to a state or a section; `column` is it afterwards."""

    column: Column


class ColumnCreated(ColumnEvent):
    """It was created."""


class ColumnUpdated(ColumnEvent):
    """It changed."""


class ColumnDeleted(ColumnEvent):
    """It was deleted; `column` is as it last was, one version on."""


def edit(column: Column, changes: Mapping[str, Any], *, now: datetime) -> Sequence[ColumnEvent]:
    """Set the named fields; nothing follows when nothing differs."""
    fields = {name: value for name, value in changes.items() if getattr(column, name) != value}
    if not fields:
        return []
    return [ColumnUpdated(replace(column, **fields, updated_at=now, version=column.version + 1))]


def delete(column: Column, *, now: datetime) -> Sequence[ColumnEvent]:
    """End it."""
    return [ColumnDeleted(replace(column, updated_at=now, version=column.version + 1))]


def between(lower: str | None, upper: str | None) -> str:
    """A position behind `lower` and before `upper`; None where nothing stands.

    Raises:
        ValueError: `lower` is not before `upper`.
    """
    key: str = generate_key_between(lower, upper, _DIGITS)
    return key


def keys_between(lower: str | None, upper: str | None, count: int) -> Sequence[str]:
    """So many positions behind `lower` and before `upper`, in order, as short as can be."""
    keys: list[str] = generate_n_keys_between(lower, upper, count, _DIGITS)
    return keys


def rank(task_id: UUID, position: str | None) -> str:
    """Where a task stands in its project: by hand, or else by its id, which grows with time."""
    return position or f"l{task_id.hex}8"


def place_of_column(columns: Sequence[Placed], column_id: UUID | None, after_id: UUID | None) -> str:
    """The position right behind `after_id`, in front of all when that is None, among the others in their order.

    Raises:
        KeyError: there is no `after_id` among the others.
    """
    others = [each for each in columns if each.id != column_id]
    if after_id is None:
        return between(None, others[0].position if others else None)
    for index, each in enumerate(others):
        if each.id == after_id:
            behind = others[index + 1].position if index + 1 < len(others) else None
            return between(each.position, behind)
    raise KeyError(after_id)


def spread(columns: Sequence[Placed], column_id: UUID, position: str) -> dict[UUID, str]:
    """Short positions of all columns in their order, in which one of them goes to a position that is too long."""
    in_order = sorted(columns, key=lambda each: position if each.id == column_id else each.position)
    keys = keys_between(None, None, len(in_order))
    return {each.id: key for each, key in zip(in_order, keys, strict=True)}


def target(
    states: Sequence[State], current_id: UUID | None, *, status: Status | None, state_id: UUID | None
) -> State | None:
    """The state that is meant: by id, or else the first of the status's group; None when there is none.

    With both, the state is a wish: it is taken when it is there and of the group. Without one, a task stays in its
    current state if that is of the group.
    """
    by_id = {state.id: state for state in states}
    if state_id is not None:
        wished = by_id.get(state_id)
        if status is None or (wished is not None and wished.group is status):
            return wished
    current = by_id.get(current_id) if current_id else None
    if current is not None and current.group is status:
        return current
    return next((state for state in states if state.group is status), None)


def initial(states: Sequence[State]) -> State:
    """The state of a new task: the first of the group `todo`, or else the first open one, or else the first."""
    todo = (state for state in states if state.group is Status.TODO)
    is_open = (state for state in states if state.group in OPEN)
    return next(todo, None) or next(is_open, None) or states[0]


def guards(source: State | None, to: State) -> frozenset[Guard]:
    """What must hold for the way from one state to the other."""
    ways = source.transitions if source is not None else ()
    return frozenset(guard for way in ways if way.to_state_id == to.id for guard in way.guards)


def refusals(source: State | None, to: State, task: Task, role: str) -> Sequence[Refusal]:
    """Why the task may not go from one state to the other; nothing when it may.

    Args:
        source: The state it is in, if any: from none every way is open, as from one without transitions.
        to: Where it wants to go.
        task: As it would be, with its standing.
        role: Of who wants it, in the project.
    """
    if source is None or not source.transitions or source.id == to.id:
        return []
    way = next((each for each in source.transitions if each.to_state_id == to.id), None)
    if way is None:
        return [Refusal("transition", "state_id", f"no transition leads from {source.name} to {to.name}")]
    found = []
    standing = task.standing
    if Guard.ALL_SUBTASKS_DONE in way.guards and standing and standing.open_subtasks:
        found.append(Refusal(Guard.ALL_SUBTASKS_DONE, "subtasks", f"open subtasks: {standing.open_subtasks}"))
    if Guard.NOT_BLOCKED in way.guards and standing and standing.blocked_by:
        found.append(Refusal(Guard.NOT_BLOCKED, "blocked_by", f"open tasks that block it: {len(standing.blocked_by)}"))
    if Guard.CHECKLIST_DONE in way.guards and standing and standing.open_items:
        found.append(Refusal(Guard.CHECKLIST_DONE, "checklist", f"open items of its checklist: {standing.open_items}"))
    if way.role and _ROLES.index(role) < _ROLES.index(way.role):
        found.append(Refusal("role", "state_id", f"needs the role {way.role} at least"))
    found.extend(
        Refusal("required_fields", name, f"{' or '.join(_WAYS_TO_SAY.get(name, (name,)))} must be set first")
        for name in way.required_fields
        if all(getattr(task, each) in (None, "", ()) for each in _WAYS_TO_SAY.get(name, (name,)))
    )
    return found
