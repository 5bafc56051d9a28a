"""The action of a task: what it may be, who may give it, and where it goes along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from acting import (
    DUE,
    FAILED,
    SAYS,
    UNBLOCKED,
    after,
    armed,
    ended,
    get,
    patch,
)
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from rebuilding import require_rebuilt
from rota.tasks.v1 import (
    batch_pb2,
    copies_pb2,
    history_pb2,
    projects_pb2,
    recurrence_pb2,
    series_pb2,
    sync_pb2,
    tasks_pb2,
)
from rota_chassis.errors import InvalidArgument, NotFound, PermissionDenied
from rota_chassis.testing.services import User
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.auth import SmallAuth
    from rota_chassis.testing.clock import ManualClock


SECRET = {
    "http": {
        "url": "http://127.0.0.1:1/hook",
        "headers": [{"name": "Authorization", "value": "Bearer 1f0c", "sensitive": True}],
    },
    "retry": {"max_attempts": 1},
}


async def test_secrets_are_masked_kept_and_used(stage: Stage, clock: ManualClock, scheduler_url: str) -> None:
    task = await stage.create(action=SECRET, due_at=after(clock, 100))
    assert "1f0c" not in str(task)
    # As it is shown it changes nothing; beside another url the mask is no secret.
    same = await patch(stage, task.id, action=MessageToDict(task.action))
    assert same.version == 1
    other = MessageToDict(task.action)
    other["http"]["url"] = "http://127.0.0.1:2/hook"
    with pytest.raises(InvalidArgument, match="mask of a secret"):
        await patch(stage, task.id, action=other)
    database, scheduler = await asyncpg.connect(stage.database_url), await asyncpg.connect(scheduler_url)
    try:
        assert "1f0c" not in str(await database.fetch("SELECT data FROM events"))
        assert "1f0c" not in str(await database.fetch("SELECT * FROM tasks"))
        await armed(scheduler_url, 1)
        clock.advance(100)
        await ended(stage, task.id, FAILED)
        assert "Bearer 1f0c" in str(await scheduler.fetch("SELECT action FROM run_history"))
    finally:
        await database.close()
        await scheduler.close()


@pytest.mark.parametrize(
    ("action", "field"),
    [
        pytest.param({}, "action", id="none"),
        pytest.param({"http": {"url": "not an address"}}, "action.http.url", id="url"),
        pytest.param({"http": {"url": "http://169.254.169.254/x"}}, "action.http.url", id="forbidden address"),
        pytest.param({"event": {"type": "Not Good"}}, "action.event.type", id="type"),
        pytest.param({"nothing": {}}, "action.nothing", id="unknown"),
        pytest.param({"cleanup": {"what": "trash"}}, "action.cleanup", id="of the system"),
        pytest.param({"event": {"type": "a"}, "notify": {"user_ids": [], "title": "x"}}, "action", id="two"),
    ],
)
async def test_an_action_that_will_not_do_is_refused(stage: Stage, action: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await stage.create(action=action)
    assert refused.value.violations[0].field.startswith(field)
    answer = await stage.batches.BatchTasks(
        batch_pb2.BatchTasksRequest(
            operations=[
                batch_pb2.BatchOperation(create=tasks_pb2.CreateTaskRequest(title="bad", action=action)),
                batch_pb2.BatchOperation(create=tasks_pb2.CreateTaskRequest(title="good", action=SAYS)),
            ]
        ),
        metadata=stage.ada.metadata,
    )
    assert answer.results[0].problem.errors[0].field.startswith(field)
    assert MessageToDict(answer.results[1].task.action) == SAYS


async def test_a_viewer_may_not_give_actions_and_strangers_see_no_task(stage: Stage, scheduler_auth: SmallAuth) -> None:
    task = await stage.create()
    for auth in (stage.auth, scheduler_auth):
        auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    with pytest.raises(PermissionDenied):
        await stage.tasks.CreateTask(
            tasks_pb2.CreateTaskRequest(title="x", action=SAYS, workspace_id=str(stage.ada.workspace_id)),
            metadata=stage.grace.metadata,
        )
    with pytest.raises(PermissionDenied):
        await stage.tasks.UpdateTask(
            tasks_pb2.UpdateTaskRequest(id=task.id, action=SAYS, update_mask=FieldMask(paths=["action"])),
            metadata=stage.grace.metadata,
        )
    stranger = User(stage.issuer)
    stage.auth.add_user(stranger)
    with pytest.raises(NotFound):
        await stage.tasks.UpdateTask(
            tasks_pb2.UpdateTaskRequest(id=task.id, action=SAYS, update_mask=FieldMask(paths=["action"])),
            metadata=stranger.metadata,
        )


async def test_the_action_is_a_field_like_others(stage: Stage, clock: ManualClock) -> None:
    task = await stage.create()
    given = await patch(stage, task.id, action=SAYS, run_when=UNBLOCKED, complete_on_success=False)
    assert (given.run_when, given.complete_on_success) == (UNBLOCKED, False)
    seen = await stage.history.ListTaskHistory(
        history_pb2.ListTaskHistoryRequest(id=task.id), metadata=stage.ada.metadata
    )
    assert {each.field for each in seen.entries[0].changes} == {"action", "run_when"}
    clock.advance(1)
    undone = (await stage.history.UndoTask(history_pb2.UndoTaskRequest(id=task.id), metadata=stage.ada.metadata)).task
    assert not undone.HasField("action")
    as_of = tasks_pb2.GetTaskRequest(id=task.id, as_of=given.updated_at)
    assert (await stage.tasks.GetTask(as_of, metadata=stage.ada.metadata)).task.action == given.action
    put = tasks_pb2.ReplaceTaskRequest(id=task.id, title="All", action=SAYS)
    replaced = (await stage.tasks.ReplaceTask(put, metadata=stage.ada.metadata)).task
    assert (replaced.run_when, replaced.complete_on_success) == (DUE, True)
    batch = batch_pb2.BatchTasksRequest(
        operations=[batch_pb2.BatchOperation(update=tasks_pb2.UpdateTaskRequest(id=task.id, run_when=UNBLOCKED))]
    )
    answer = await stage.batches.BatchTasks(batch, metadata=stage.ada.metadata)
    assert answer.results[0].task.run_when == UNBLOCKED
    synced = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    assert MessageToDict(synced.changes[-1].data.task.action) == SAYS
    await require_rebuilt(stage.database_url)
    put = tasks_pb2.ReplaceTaskRequest(id=task.id, title="All")
    assert not (await stage.tasks.ReplaceTask(put, metadata=stage.ada.metadata)).task.HasField("action")


async def test_each_occurrence_of_a_recurring_task_takes_the_action(stage: Stage, clock: ManualClock) -> None:
    rule = recurrence_pb2.Recurrence(rrule="FREQ=DAILY", starts_at=after(clock, 10))
    task = await stage.create(action=SAYS, recurrence=rule)
    clock.advance(11)
    first = await ended(stage, task.id)

    async def second() -> Any:
        request = series_pb2.ListOccurrencesRequest(id=task.id, preview=0)
        answer = await stage.series.ListOccurrences(request, metadata=stage.ada.metadata)
        return next((each.task_id for each in answer.occurrences if each.task_id != task.id), None)

    following = await eventually(second)
    assert not (await get(stage, following)).HasField("run")
    clock.advance(86_400)
    assert (await ended(stage, following)).run.id != first.run.id


async def test_a_copy_of_a_task_does_the_same_and_has_not_done_it_yet(stage: Stage, clock: ManualClock) -> None:
    made = await stage.projects.CreateProject(
        projects_pb2.CreateProjectRequest(name="Garden"), metadata=stage.ada.metadata
    )
    task = await stage.create(
        action=SECRET, due_at=after(clock, 10), complete_on_success=False, project_id=made.project.id
    )
    clock.advance(10)
    await ended(stage, task.id, FAILED)
    copied = await stage.copies.CopyProject(
        copies_pb2.CopyProjectRequest(id=made.project.id), metadata=stage.ada.metadata
    )
    listed = await stage.tasks.ListTasks(
        tasks_pb2.ListTasksRequest(project_id=copied.project.id), metadata=stage.ada.metadata
    )
    (copy,) = listed.tasks
    assert copy.action == task.action
    assert not copy.action_state.HasField("unblocked_at")
    assert (await ended(stage, copy.id, FAILED)).run.id != (await get(stage, task.id)).run.id
