"""What nobody may do to a series, or only some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from recurring import (
    daily,
    living,
    patch,
)
from rota.tasks.v1 import (
    batch_pb2,
    recurrence_pb2,
    series_pb2,
    tasks_pb2,
)
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied

if TYPE_CHECKING:
    from conftest import Stage


async def test_what_others_may_not_see_they_neither_see_nor_skip(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    metadata = stage.grace.metadata
    with pytest.raises(NotFound):
        await stage.series.ListOccurrences(series_pb2.ListOccurrencesRequest(id=first.id), metadata=metadata)
    with pytest.raises(NotFound):
        await stage.series.SkipOccurrence(
            series_pb2.SkipOccurrenceRequest(id=first.id, occurrence="2026-01-02"), metadata=metadata
        )
    for scope in (tasks_pb2.OCCURRENCE_SCOPE_FOLLOWING, tasks_pb2.OCCURRENCE_SCOPE_ALL):
        with pytest.raises(NotFound):
            await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=first.id, scope=scope), metadata=metadata)
        request = tasks_pb2.UpdateTaskRequest(
            id=first.id, scope=scope, title="x", update_mask=FieldMask(paths=["title"])
        )
        with pytest.raises(NotFound):
            await stage.tasks.UpdateTask(request, metadata=metadata)


async def test_viewers_change_no_series(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer", version=9)
    await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=first.id), metadata=stage.grace.metadata)
    with pytest.raises(PermissionDenied):
        await stage.series.SkipOccurrence(
            series_pb2.SkipOccurrenceRequest(id=first.id, occurrence="2026-01-02"), metadata=stage.grace.metadata
        )
    scope = tasks_pb2.OCCURRENCE_SCOPE_ALL
    with pytest.raises(PermissionDenied):
        await stage.tasks.DeleteTask(
            tasks_pb2.DeleteTaskRequest(id=first.id, scope=scope), metadata=stage.grace.metadata
        )
    with pytest.raises(PermissionDenied):
        await stage.tasks.UpdateTask(
            tasks_pb2.UpdateTaskRequest(id=first.id, scope=scope, title="x", update_mask=FieldMask(paths=["title"])),
            metadata=stage.grace.metadata,
        )


async def test_a_part_of_what_recurs_cannot_recur(stage: Stage) -> None:
    whole = await stage.create(due_on="2026-01-01", recurrence=daily())
    part = await stage.create(parent_id=whole.id)
    for attempt in (
        stage.create(parent_id=part.id, recurrence=daily()),
        patch(stage, part, recurrence=daily()),
    ):
        with pytest.raises(Conflict) as refused:
            await attempt
        assert refused.value.code == "RECURRENCE_NESTED"
    other = await stage.create(due_on="2026-01-01", recurrence=daily())
    with pytest.raises(Conflict):
        await patch(stage, other, parent_id=part.id)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"rrule": "FREQ=NEVER"}, "INVALID_RRULE", "recurrence.rrule"),
        ({"rrule": "FREQ=DAILY;COUNT=1;UNTIL=20280101"}, "INVALID_RRULE", "recurrence.rrule"),
        ({"rrule": "FREQ=SECONDLY"}, "RECURRENCE_TOO_FREQUENT", "recurrence.rrule"),
        ({"cron": "0 0 30 2 *"}, "RECURRENCE_NEVER_OCCURS", "recurrence.cron"),
        ({"every": "1d", "time_zone": "Mars/Olympus"}, "UNKNOWN_TIME_ZONE", "recurrence.time_zone"),
        ({"every": "1d", "starts_on": "2026-02-30"}, "INVALID_FIELDS", "recurrence.starts_on"),
    ],
)
async def test_a_rule_that_cannot_be_is_refused_with_its_field(
    stage: Stage, fields: dict[str, str], code: str, field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await stage.create(recurrence=recurrence_pb2.Recurrence(**fields))
    assert refused.value.code == code
    assert [each.field for each in refused.value.violations] == [field]
    assert await living(stage) == []


async def test_a_batch_does_not_split_a_series(stage: Stage) -> None:
    task = await stage.create()
    operations = [
        batch_pb2.BatchOperation(delete=tasks_pb2.DeleteTaskRequest(id=task.id, scope=tasks_pb2.OCCURRENCE_SCOPE_ALL)),
        batch_pb2.BatchOperation(
            update=tasks_pb2.UpdateTaskRequest(id=task.id, title="x", scope=tasks_pb2.OCCURRENCE_SCOPE_ALL)
        ),
    ]
    answer = await stage.batches.BatchTasks(
        batch_pb2.BatchTasksRequest(operations=operations), metadata=stage.ada.metadata
    )
    fields = [each.problem.errors[0].field for each in answer.results]
    assert fields == ["scope", "scope"]
