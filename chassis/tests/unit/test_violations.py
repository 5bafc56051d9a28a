"""What is said of a message that breaks a rule of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from protovalidate import Validator
from rota.scheduler.v1 import schedules_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.rpc.pipeline import violations_of

if TYPE_CHECKING:
    from google.protobuf.message import Message

SOME_ID = "01a2029f-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("message", "field", "words"),
    [
        (
            schedules_pb2.BackfillScheduleRequest(
                id=SOME_ID, overlap=schedules_pb2.OVERLAP_SKIP, **{"from": {"seconds": 1}, "to": {"seconds": 2}}
            ),
            "overlap",
            "must be one of `allow_all`, `buffer_all`",
        ),
        (
            schedules_pb2.TaskAction(transition=schedules_pb2.TransitionTaskAction(task_id=SOME_ID)),
            "transition.status",
            "must be one of "
            + ", ".join(f"`{name.removeprefix('TASK_STATUS_').lower()}`" for name in tasks_pb2.TaskStatus.keys()[1:]),
        ),
        (schedules_pb2.GetScheduleRequest(id="x"), "id", "must be a valid UUID"),
    ],
    ids=["some-of-an-enum", "all-but-some-of-an-enum", "another-rule"],
)
def test_what_is_wrong_is_said_in_the_words_of_clients(message: Message, field: str, words: str) -> None:
    (found,) = violations_of(Validator(), message)
    assert (found.field, found.description) == (field, words)
