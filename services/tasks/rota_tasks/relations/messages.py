"""Relations and their events as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import relations_pb2
from rota_chassis.events.log import NewEvent

from rota_tasks.relations.domain import Relation, RelationEvent, RelationRemoved, RelationType
from rota_tasks.timestamps import timestamp

TYPE_NUMBERS = {each: relations_pb2.RelationType.Value(f"RELATION_TYPE_{each.name}") for each in RelationType}
TYPES = {number: each for each, number in TYPE_NUMBERS.items()}


def relation_message(relation: Relation) -> relations_pb2.Relation:
    """The relation as the API shows it."""
    return relations_pb2.Relation(
        id=str(relation.id),
        workspace_id=str(relation.workspace_id),
        source_id=str(relation.source_id),
        type=TYPE_NUMBERS[relation.type],
        task_id=str(relation.task_id),
        created_by=str(relation.created_by),
        created_at=timestamp(relation.created_at),
        lag_s=relation.lag_s,
    )


def relation_of(message: relations_pb2.Relation) -> Relation:
    """The relation in a message; the inverse of `relation_message`."""
    return Relation(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        source_id=UUID(message.source_id),
        type=TYPES[message.type],
        task_id=UUID(message.task_id),
        created_by=UUID(message.created_by),
        created_at=message.created_at.ToDatetime(UTC),
        lag_s=message.lag_s,
    )


def event_message(event: RelationEvent) -> NewEvent:
    """The event as the log keeps it."""
    project_id, other_project_id = (str(each or "") for each in event.projects)
    data = events_pb2.RelationRemoved if isinstance(event, RelationRemoved) else events_pb2.RelationAdded
    return NewEvent(
        workspace_id=event.relation.workspace_id,
        aggregate_id=event.relation.id,
        aggregate_version=event.version,
        data=data(relation=relation_message(event.relation), project_id=project_id, other_project_id=other_project_id),
        time=event.time,
    )
