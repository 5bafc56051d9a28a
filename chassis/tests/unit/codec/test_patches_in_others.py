"""A merge patch within another message says by its members what it changes, as one that is the whole body does."""

from __future__ import annotations

from typing import Any

import pytest
from rota.tasks.v1 import batch_pb2
from rota_chassis.codec import decoder

_READ = decoder(batch_pb2.BatchTasksRequest)


@pytest.mark.parametrize(
    ("update", "mask"),
    [
        ({"id": "t1", "progress": 0, "due_on": None, "assignee_ids": []}, ["id", "progress", "due_on", "assignee_ids"]),
        ({"title": "x", "fields": {"a": None, "b": {"number": 1}}}, ["title", "fields.a", "fields.b"]),
        ({"fields": None}, ["fields"]),
        ({"title": "x", "category": "y", "update_mask": "title"}, ["title"]),
        ({"title": "x", "update_mask": None}, []),
        ({}, []),
    ],
    ids=["cleared", "entries", "all-entries", "given", "null", "empty"],
)
def test_the_mask_names_the_members_that_are_there(update: dict[str, Any], mask: list[str]) -> None:
    message = _READ({"operations": [{"update": update}, {"create": {"title": "x"}}]})
    assert list(message.operations[0].update.update_mask.paths) == mask
