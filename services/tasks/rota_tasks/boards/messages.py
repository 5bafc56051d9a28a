"""States, sections and their events as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import boards_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.boards.domain import (
    ColumnCreated,
    ColumnDeleted,
    ColumnEvent,
    ColumnUpdated,
    Guard,
    Section,
    State,
    Transition,
)
from rota_tasks.tasks.messages import STATUS_NUMBERS, STATUSES
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota_tasks.boards.domain import Column

_GUARDS = {
    Guard.ALL_SUBTASKS_DONE: boards_pb2.TRANSITION_GUARD_ALL_SUBTASKS_DONE,
    Guard.NOT_BLOCKED: boards_pb2.TRANSITION_GUARD_NOT_BLOCKED,
    Guard.CHECKLIST_DONE: boards_pb2.TRANSITION_GUARD_CHECKLIST_DONE,
}
_GUARD_OF = {number: guard for guard, number in _GUARDS.items()}
_ROLES = {
    None: boards_pb2.TRANSITION_ROLE_UNSPECIFIED,
    "admin": boards_pb2.TRANSITION_ROLE_ADMIN,
    "owner": boards_pb2.TRANSITION_ROLE_OWNER,
}
_ROLE_OF = {number: role for role, number in _ROLES.items()}


def state_message(state: State) -> boards_pb2.State:
    """The state as the API shows it."""
    return boards_pb2.State(
        **_common(state),
        group=STATUS_NUMBERS[state.group],
        color=state.color,
        wip_limit=state.wip_limit,
        transitions=[
            boards_pb2.Transition(
                to_state_id=str(each.to_state_id),
                guards=[_GUARDS[guard] for guard in each.guards],
                role=_ROLES[each.role],
                required_fields=each.required_fields,
            )
            for each in state.transitions
        ],
    )


def section_message(section: Section) -> boards_pb2.Section:
    """The section as the API shows it."""
    return boards_pb2.Section(**_common(section))


def state_of(message: boards_pb2.State) -> State:
    """The state in a message; the inverse of `state_message`."""
    return State(
        **_common_of(message),
        group=STATUSES[message.group],
        color=message.color,
        wip_limit=message.wip_limit,
        transitions=transitions_of(message.transitions),
    )


def section_of(message: boards_pb2.Section) -> Section:
    """The section in a message; the inverse of `section_message`."""
    return Section(**_common_of(message))


def transitions_of(messages: Iterable[boards_pb2.Transition]) -> tuple[Transition, ...]:
    """The transitions in messages."""
    return tuple(
        Transition(
            UUID(each.to_state_id),
            tuple(_GUARD_OF[guard] for guard in each.guards),
            _ROLE_OF[each.role],
            tuple(each.required_fields),
        )
        for each in messages
    )


_DATA: dict[tuple[type[Any], type[Any]], Any] = {
    (State, ColumnCreated): events_pb2.StateCreated,
    (State, ColumnUpdated): events_pb2.StateUpdated,
    (State, ColumnDeleted): events_pb2.StateDeleted,
    (Section, ColumnCreated): events_pb2.SectionCreated,
    (Section, ColumnUpdated): events_pb2.SectionUpdated,
    (Section, ColumnDeleted): events_pb2.SectionDeleted,
}


def event_message(event: ColumnEvent) -> NewEvent:
    """The event as the log keeps it."""
    column = event.column
    data = _DATA[type(column), type(event)]
    return NewEvent(
        workspace_id=column.workspace_id,
        aggregate_id=column.id,
        aggregate_version=column.version,
        data=data(state=state_message(column)) if isinstance(column, State) else data(section=_section(column)),
        time=column.updated_at,
    )


def _section(column: Column) -> boards_pb2.Section:
    return boards_pb2.Section(**_common(column))


def _common(column: Column) -> dict[str, Any]:
    return {
        "id": str(column.id),
        "workspace_id": str(column.workspace_id),
        "project_id": str(column.project_id),
        "name": column.name,
        "position": column.position,
        "created_by": str(column.created_by),
        "created_at": timestamp(column.created_at),
        "updated_at": timestamp(column.updated_at),
        "version": column.version,
        "etag": column.etag,
    }


def _common_of(message: Any) -> dict[str, Any]:
    return {
        "id": UUID(message.id),
        "workspace_id": UUID(message.workspace_id),
        "project_id": UUID(message.project_id),
        "name": message.name,
        "position": message.position,
        "created_by": UUID(message.created_by),
        "created_at": message.created_at.ToDatetime(UTC),
        "updated_at": message.updated_at.ToDatetime(UTC),
        "version": message.version,
    }
