"""Tasks that are due on a day, and those who watch tasks, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rebuilding import require_rebuilt
from rota.tasks.v1 import tasks_pb2
from rota_chassis.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User

INSTANT = Timestamp(seconds=1_900_000_000)


async def patch(stage: Stage, task: tasks_pb2.Task, **fields: Any) -> tasks_pb2.Task:
    request = tasks_pb2.UpdateTaskRequest(id=task.id, update_mask=FieldMask(paths=list(fields)), **fields)
    return (await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)).task


async def watch(stage: Stage, task: tasks_pb2.Task, user: User) -> tasks_pb2.Task:
    return (await stage.tasks.WatchTask(tasks_pb2.WatchTaskRequest(id=task.id), metadata=user.metadata)).task


async def unwatch(stage: Stage, task: tasks_pb2.Task, user: User) -> tasks_pb2.Task:
    return (await stage.tasks.UnwatchTask(tasks_pb2.UnwatchTaskRequest(id=task.id), metadata=user.metadata)).task


async def test_a_day_is_kept_as_a_day_beside_its_time_zone(stage: Stage) -> None:
    task = await stage.create(due_on="2028-02-29", start_on="0001-01-01", time_zone="Pacific/Kiritimati")
    read = (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)).task
    assert (read.due_on, read.start_on, read.time_zone) == ("2028-02-29", "0001-01-01", "Pacific/Kiritimati")
    assert not read.HasField("due_at")


@pytest.mark.parametrize(("day", "instant"), [("due_on", "due_at"), ("start_on", "start_at")])
async def test_setting_a_day_clears_the_instant_and_the_other_way_round(stage: Stage, day: str, instant: str) -> None:
    task = await stage.create(**{instant: INSTANT})
    on_a_day = await patch(stage, task, **{day: "2026-11-21"})
    assert (getattr(on_a_day, day), on_a_day.HasField(instant)) == ("2026-11-21", False)
    assert not (await patch(stage, task, **{instant: INSTANT})).HasField(day)
    kept = await patch(stage, task, **{day: None})
    assert getattr(kept, instant) == INSTANT


@pytest.mark.parametrize(("day", "instant"), [("due_on", "due_at"), ("start_on", "start_at")])
async def test_a_day_beside_the_instant_is_refused(stage: Stage, day: str, instant: str) -> None:
    both: dict[str, Any] = {day: "2026-11-21", instant: INSTANT}
    task = await stage.create()
    replacement = tasks_pb2.ReplaceTaskRequest(id=task.id, title="Water the plants", **both)
    for call in (
        stage.create(**both),
        patch(stage, task, **both),
        stage.tasks.ReplaceTask(replacement, metadata=stage.ada.metadata),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await call
        assert [violation.field for violation in caught.value.violations] == [day]


@pytest.mark.parametrize(
    "day", ["2026-02-30", "2027-02-29", "0000-01-01", "10000-01-01", "2026-13-01", "2026-1-1", "20261121", "", "today"]
)
@pytest.mark.parametrize("field", ["due_on", "start_on"])
async def test_what_is_no_day_is_refused(stage: Stage, field: str, day: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await stage.create(**{field: day})
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "europe/warsaw"])
async def test_what_is_no_time_zone_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await stage.create(time_zone=name)
    assert [violation.field for violation in caught.value.violations] == ["time_zone"]


async def test_watching_adds_oneself_once_and_ends(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    task = await stage.create()
    assert list(task.watcher_ids) == []
    first = await watch(stage, task, stage.grace)
    assert list(first.watcher_ids) == [str(stage.grace.id)]
    assert await watch(stage, task, stage.grace) == first
    assert list((await unwatch(stage, task, stage.ada)).watcher_ids) == [str(stage.grace.id)]
    gone = await unwatch(stage, task, stage.grace)
    assert (list(gone.watcher_ids), gone.version) == ([], 3)


async def test_another_users_task_cannot_be_watched(stage: Stage) -> None:
    task = await stage.create()
    for call in (watch, unwatch):
        with pytest.raises(NotFound) as caught:
            await call(stage, task, stage.grace)
        assert caught.value.code == "TASK_NOT_FOUND"


async def test_all_who_begin_to_watch_at_once_watch_and_it_rebuilds(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    task = await stage.create(due_on="2026-11-21", time_zone="Europe/Warsaw")
    await asyncio.gather(*(watch(stage, task, user) for user in (stage.ada, stage.grace) * 3))
    read = (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)).task
    assert (set(read.watcher_ids), read.version) == ({str(stage.ada.id), str(stage.grace.id)}, 3)
    await require_rebuilt(stage.database_url)
