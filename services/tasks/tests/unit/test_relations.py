"""What a relation is from either side, and which walks it would close."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from rota_tasks.relations import domain
from rota_tasks.relations.domain import INVERSES, Relation, RelationType, Walk
from rota_tasks.relations.messages import TYPE_NUMBERS, relation_message, relation_of


def a_relation(kind: RelationType) -> Relation:
    return Relation(
        id=uuid4(),
        workspace_id=uuid4(),
        source_id=uuid4(),
        type=kind,
        task_id=uuid4(),
        created_by=uuid4(),
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


@pytest.mark.parametrize("kind", RelationType)
def test_the_inverse_of_the_inverse_is_the_relation(kind: RelationType) -> None:
    relation = a_relation(kind)
    assert relation.inverse.inverse == relation
    assert (relation.inverse.source_id, relation.inverse.task_id) == (relation.task_id, relation.source_id)


@pytest.mark.parametrize("kind", RelationType)
def test_both_sides_close_the_same_walk(kind: RelationType) -> None:
    relation = a_relation(kind)
    assert domain.closing_walk(relation) == domain.closing_walk(relation.inverse)


def test_ordering_types_are_walked_together_and_what_relates_is_not_walked() -> None:
    order = frozenset({RelationType.BLOCKS, RelationType.FINISHES_BEFORE})
    after = a_relation(RelationType.STARTS_AFTER)
    assert domain.closing_walk(after) == Walk(order, start=after.source_id, end=after.task_id)
    assert domain.closing_walk(a_relation(RelationType.RELATES)) is None


@pytest.mark.parametrize("kind", RelationType)
def test_a_relation_survives_the_contract(kind: RelationType) -> None:
    relation = a_relation(kind)
    assert relation_of(relation_message(relation)) == relation


def test_every_type_has_an_inverse_and_a_number() -> None:
    assert set(INVERSES) == set(TYPE_NUMBERS) == set(RelationType)
