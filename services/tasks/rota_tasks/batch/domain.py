"""The things that one call may do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_tasks.executions.execution import Given
    from rota_tasks.relations.domain import RelationType


@dataclass(frozen=True, slots=True)
class Create:
    """Create a task with this id and these fields."""

    task_id: UUID
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Edit:
    """Set the named fields."""

    task_id: UUID
    changes: Mapping[str, Any]
    if_match: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a task and everything below it."""

    task_id: UUID
    if_match: str = ""


@dataclass(frozen=True, slots=True)
class Complete:
    """Make a task done."""

    task_id: UUID
    if_match: str = ""


@dataclass(frozen=True, slots=True)
class Reopen:
    """Return a task to `todo`."""

    task_id: UUID
    if_match: str = ""


@dataclass(frozen=True, slots=True)
class Assign:
    """Add an assignee."""

    task_id: UUID
    assignee_id: UUID
    if_match: str = ""


@dataclass(frozen=True, slots=True)
class Unassign:
    """Take an assignee off."""

    task_id: UUID
    assignee_id: UUID
    if_match: str = ""


@dataclass(frozen=True, slots=True)
class Relate:
    """Relate a task to another."""

    source_id: UUID
    type: RelationType
    task_id: UUID


@dataclass(frozen=True, slots=True)
class Done:
    """A thing was made the version that it says."""

    aggregate: str
    id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class Touched:
    """A task that a call made or changed.

    Attributes:
        task_id: Which.
        before: Its version before; 0 when the call made it.
        after: Its version after.
    """

    task_id: UUID
    before: int
    after: int


Operation = Create | Edit | Delete | Complete | Reopen | Assign | Unassign | Relate


def people(operation: Operation) -> tuple[UUID, ...]:
    """Whom the operation may assign."""
    match operation:
        case Create(fields=fields):
            return tuple(fields.get("assignee_ids", ()))
        case Edit(changes=changes):
            return tuple(changes.get("assignee_ids", ()))
        case Assign(assignee_id=assignee_id):
            return (assignee_id,)
    return ()


def action_of(operation: Operation) -> Mapping[str, Any] | None:
    """The action that the operation gives to a task, if it does."""
    match operation:
        case Create(fields=fields) if fields.get("execution") is not None:
            given: Mapping[str, Any] = fields["execution"].action
            return given
        case Edit(changes=changes):
            return changes.get("action")
    return None


def with_action(operation: Operation, given: Given) -> Operation:
    """The operation with its action as the scheduler has accepted it."""
    match operation:
        case Create(fields=fields):
            return replace(operation, fields={**fields, "execution": fields["execution"].given(given)})
        case Edit(changes=changes):
            return replace(operation, changes={**changes, "action": given})
    return operation


def needs_structure(operation: Operation) -> bool:
    """Whether the operation adds a part to a whole, or is more than an addition."""
    return not isinstance(operation, Create) or operation.fields.get("parent_id") is not None


def places(operation: Operation) -> bool:
    """Whether the operation may give a task that exists another place on the board of its project."""
    if isinstance(operation, Edit):
        return not operation.changes.keys().isdisjoint({"status", "state_id", "section_id", "project_id"})
    return isinstance(operation, Complete | Reopen)


def projects(operation: Operation) -> tuple[UUID, ...]:
    """The project that the operation brings a task to."""
    match operation:
        case Create(fields=values) | Edit(changes=values) if values.get("project_id") is not None:
            return (values["project_id"],)
    return ()


def touched(done: Sequence[Done]) -> Sequence[Touched]:
    """The tasks that a call made or changed, the one it left last at the end."""
    found: dict[UUID, Touched] = {}
    for each in done:
        if each.aggregate == "task":
            first = found.pop(each.id, None)
            found[each.id] = Touched(each.id, first.before if first else each.version - 1, each.version)
    return list(found.values())
