"""Tasks recur: one task for each occurrence, whatever happens to it, to the clock and to the processes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rebuilding import require_rebuilt
from recurring import (
    DAY,
    DELETED,
    DONE,
    OPEN,
    PLANNED,
    SKIPPED,
    complete,
    daily,
    delete,
    instant,
    living,
    occurrences,
    patch,
    series_version,
    task_of,
)
from rota.tasks.v1 import (
    boards_pb2,
    checklists_pb2,
    history_pb2,
    labels_pb2,
    projects_pb2,
    recurrence_pb2,
    series_pb2,
    sync_pb2,
    tasks_pb2,
    trash_pb2,
)
from rota_chassis.errors import NotFound
from rota_chassis.postgres.database import Database
from rota_chassis.testing.waiting import eventually
from rota_tasks.series import commands
from rota_tasks.tasks.dependencies import Tasks

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.clock import ManualClock


async def test_completing_an_occurrence_makes_the_next_with_what_it_is_to_have(stage: Stage) -> None:
    label = await stage.labels.CreateLabel(labels_pb2.CreateLabelRequest(name="home"), metadata=stage.ada.metadata)
    first = await stage.create(
        description="All of them",
        priority=tasks_pb2.TASK_PRIORITY_HIGH,
        label_ids=[label.label.id],
        assignee_ids=[str(stage.ada.id)],
        estimate_s=600,
        due_at=instant("2026-03-28T09:00:00+01:00"),
        start_at=instant("2026-03-28T08:00:00+01:00"),
        time_zone="Europe/Warsaw",
        remind_before_s=[3600],
        recurrence=daily(),
    )
    assert first.occurrence == "2026-03-28T08:00:00Z"
    assert first.recurrence.time_zone == "Europe/Warsaw"
    assert first.recurrence.anchor == recurrence_pb2.RECURRENCE_ANCHOR_SCHEDULE
    await complete(stage, first)
    second = await task_of(stage, first, "2026-03-29T07:00:00Z")
    assert second.series_id == first.series_id
    assert second.status == tasks_pb2.TASK_STATUS_TODO
    assert second.due_at == instant("2026-03-29T09:00:00+02:00")
    assert second.start_at == instant("2026-03-29T08:00:00+02:00")
    for name in ("title", "description", "priority", "label_ids", "assignee_ids", "estimate_s", "time_zone"):
        assert getattr(second, name) == getattr(first, name), name
    assert second.remind_before_s == [3600]
    assert second.recurrence == first.recurrence
    assert second.created_by == str(stage.ada.id)


async def test_the_checklist_comes_along_with_nothing_done(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    for title in ("Kitchen", "Balcony"):
        item = (
            await stage.checklists.CreateChecklistItem(
                checklists_pb2.CreateChecklistItemRequest(task_id=first.id, title=title), metadata=stage.ada.metadata
            )
        ).item
    await stage.checklists.UpdateChecklistItem(
        checklists_pb2.UpdateChecklistItemRequest(
            task_id=first.id, id=item.id, is_done=True, update_mask=FieldMask(paths=["is_done"])
        ),
        metadata=stage.ada.metadata,
    )
    await complete(stage, first)
    second = await task_of(stage, first, "2026-01-02")
    assert (second.checklist.open, second.checklist.total) == (2, 2)
    answer = await stage.checklists.ListChecklistItems(
        checklists_pb2.ListChecklistItemsRequest(task_id=second.id), metadata=stage.ada.metadata
    )
    assert [each.title for each in answer.items] == ["Kitchen", "Balcony"]


async def test_two_that_complete_at_once_and_a_repeat_make_one_next(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily(time_zone="Europe/Warsaw"))
    await asyncio.gather(*(complete(stage, first) for _ in range(8)))
    await task_of(stage, first, "2026-01-02")
    await complete(stage, first)
    await stage.tasks.ReopenTask(tasks_pb2.ReopenTaskRequest(id=first.id), metadata=stage.ada.metadata)
    await complete(stage, first)
    second = await task_of(stage, first, "2026-01-02")
    await complete(stage, second)
    await task_of(stage, first, "2026-01-03")
    assert [name for name, _ in await occurrences(stage, first)] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert len(await living(stage)) == 3


async def test_the_next_comes_at_its_time_though_the_one_before_is_open(stage: Stage, clock: ManualClock) -> None:
    first = await stage.create(due_at=instant("2026-01-01T12:30:00Z"), recurrence=daily(rrule="FREQ=HOURLY"))
    clock.advance(3600)
    assert await occurrences(stage, first) == [("2026-01-01T12:30:00Z", OPEN)]
    clock.advance(1800)
    await task_of(stage, first, "2026-01-01T13:30:00Z")
    clock.advance(3600)
    await task_of(stage, first, "2026-01-01T14:30:00Z")
    assert [status for _, status in await occurrences(stage, first)] == [OPEN, OPEN, OPEN]


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [("SKIP", ["2026-01-02"]), ("ONE", ["2026-01-01"]), ("ALL", ["2025-12-30", "2025-12-31", "2026-01-01"])],
)
async def test_what_becomes_of_days_that_passed_before(stage: Stage, catch_up: str, expected: list[str]) -> None:
    number = recurrence_pb2.RecurrenceCatchUp.Value(f"RECURRENCE_CATCH_UP_{catch_up}")
    # A day that lasts longer than the clock's: it has not passed.
    zone = "Pacific/Kiritimati" if catch_up == "SKIP" else "UTC"
    first = await stage.create(due_on="2025-12-29", recurrence=daily(catch_up=number, time_zone=zone))
    if catch_up == "SKIP":
        await task_of(stage, first, "2026-01-02")
    await complete(stage, first)
    await task_of(stage, first, expected[-1])
    assert [name for name, _ in await occurrences(stage, first)] == ["2025-12-29", *expected]


async def test_a_completion_is_what_the_next_is_counted_from(stage: Stage, clock: ManualClock) -> None:
    anchor = recurrence_pb2.RECURRENCE_ANCHOR_COMPLETION
    first = await stage.create(
        due_on="2026-01-01", recurrence=recurrence_pb2.Recurrence(every="3d", anchor=anchor, time_zone="UTC")
    )
    clock.advance(10 * DAY)
    assert len(await occurrences(stage, first)) == 1
    await complete(stage, first)
    second = await task_of(stage, first, "2026-01-14")
    assert second.due_on == "2026-01-14"


async def test_the_rule_ends_a_series_and_completing_does_not(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily(rrule="FREQ=DAILY;COUNT=2"))
    await complete(stage, first)
    second = await task_of(stage, first, "2026-01-02")
    await complete(stage, second)
    connection = await asyncpg.connect(stage.database_url)

    async def ended() -> Any:
        return await connection.fetchval("SELECT count(*) FROM events WHERE type = 'task_series.ended'")

    assert await eventually(ended) == 1
    await connection.close()
    assert await occurrences(stage, first, preview=5) == [("2026-01-01", DONE), ("2026-01-02", DONE)]


async def test_occurrences_are_paged_and_those_to_come_are_computed(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    await complete(stage, first)
    await task_of(stage, first, "2026-01-02")
    assert await occurrences(stage, first, preview=2) == [
        ("2026-01-01", DONE),
        ("2026-01-02", OPEN),
        ("2026-01-03", PLANNED),
        ("2026-01-04", PLANNED),
    ]
    request = series_pb2.ListOccurrencesRequest(id=first.id, page_size=1)
    page = await stage.series.ListOccurrences(request, metadata=stage.ada.metadata)
    assert [each.occurrence for each in page.occurrences] == ["2026-01-01"]
    request.page_token = page.next_page_token
    page = await stage.series.ListOccurrences(request, metadata=stage.ada.metadata)
    assert (len(page.occurrences), page.next_page_token) == (11, "")
    plain = await stage.create()
    assert await occurrences(stage, plain, preview=5) == []


async def test_an_occurrence_is_skipped_before_it_has_a_task_or_deleted_with_it(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    for occurrence in ("2026-01-02", "2026-01-02", "2026-01-04"):
        await stage.series.SkipOccurrence(
            series_pb2.SkipOccurrenceRequest(id=first.id, occurrence=occurrence), metadata=stage.ada.metadata
        )
    await complete(stage, first)
    third = await task_of(stage, first, "2026-01-03")
    await stage.series.SkipOccurrence(
        series_pb2.SkipOccurrenceRequest(id=first.id, occurrence=third.occurrence), metadata=stage.ada.metadata
    )
    await task_of(stage, first, "2026-01-05")
    assert await occurrences(stage, first) == [
        ("2026-01-01", DONE),
        ("2026-01-02", SKIPPED),
        ("2026-01-03", DELETED),
        ("2026-01-04", SKIPPED),
        ("2026-01-05", OPEN),
    ]
    for occurrence in ("2025-12-31", "2026-01-05T09:00:00Z", "never", "0001-01-01"):
        with pytest.raises(NotFound) as refused:
            await stage.series.SkipOccurrence(
                series_pb2.SkipOccurrenceRequest(id=first.id, occurrence=occurrence), metadata=stage.ada.metadata
            )
        assert refused.value.code == "OCCURRENCE_NOT_FOUND"


async def test_deleting_the_newest_goes_on_and_restoring_it_takes_nothing_back(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    await delete(stage, first)
    await eventually(lambda: _living_is(stage, 1))
    (second,) = await living(stage)
    assert second.occurrence == "2026-01-02"
    await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=first.id), metadata=stage.ada.metadata)
    assert await occurrences(stage, second) == [("2026-01-01", OPEN), ("2026-01-02", OPEN)]


async def _living_is(stage: Stage, count: int) -> bool:
    return len(await living(stage)) == count


async def test_undoing_the_completion_before_the_next_comes_holds_it_back(stage: Stage) -> None:
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    await complete(stage, first)
    second = await task_of(stage, first, "2026-01-02")
    await complete(stage, second)
    await stage.history.UndoTask(history_pb2.UndoTaskRequest(id=second.id), metadata=stage.ada.metadata)
    found = await occurrences(stage, first)
    assert found[:2] == [("2026-01-01", DONE), ("2026-01-02", OPEN)]
    # Whichever was first, there is one task for each.
    assert len(found) == len(await living(stage))


async def test_what_is_said_twice_at_once_or_of_another_version_makes_one_task(
    stage: Stage, clock: ManualClock
) -> None:
    first = await stage.create(
        due_on="2026-01-01", recurrence=daily(anchor=recurrence_pb2.RECURRENCE_ANCHOR_COMPLETION)
    )
    database = await Database.connect(stage.database_url, size=8, name="test")
    tasks = Tasks(database, None, clock, None, None)  # type: ignore[arg-type]
    version = await series_version(stage, first)

    async def say(version: int, occurrence: str | None) -> None:
        async with database.transaction() as work:
            await commands.make_occurrence(
                work,
                tasks,
                workspace_id=stage.ada.workspace_id,
                series_id=UUID(first.series_id),
                version=version,
                occurrence=occurrence,
            )

    await asyncio.gather(*(say(version, "2026-01-02") for _ in range(8)))
    await asyncio.gather(*(say(version, name) for name in ("2026-01-02", "2026-01-03", None)))
    await database.close()
    assert await occurrences(stage, first) == [("2026-01-01", OPEN), ("2026-01-02", OPEN)]
    assert len(await living(stage)) == 2
    assert await series_version(stage, first) == version + 1


async def test_dying_while_an_occurrence_is_made_leaves_nothing_and_it_is_made_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = 0
    make = commands.make_occurrence

    async def dying(*arguments: Any, **fields: Any) -> None:
        nonlocal died
        await make(*arguments, **fields)
        if died == 0:
            died += 1
            raise ConnectionError("killed before the commit")

    monkeypatch.setattr("rota_tasks.series.handlers.make_occurrence", dying)
    first = await stage.create(due_on="2026-01-01", recurrence=daily())
    await complete(stage, first)
    await task_of(stage, first, "2026-01-02")
    assert died == 1
    assert len(await living(stage)) == 2


async def test_what_the_template_names_and_is_gone_is_left_out(stage: Stage) -> None:
    project = (
        await stage.projects.CreateProject(projects_pb2.CreateProjectRequest(name="Home"), metadata=stage.ada.metadata)
    ).project
    state = (
        await stage.boards.CreateState(
            boards_pb2.CreateStateRequest(
                project_id=project.id, name="Next", group=tasks_pb2.TASK_STATUS_TODO, wip_limit=1
            ),
            metadata=stage.ada.metadata,
        )
    ).state
    await stage.boards.CreateState(
        boards_pb2.CreateStateRequest(project_id=project.id, name="Done", group=tasks_pb2.TASK_STATUS_DONE),
        metadata=stage.ada.metadata,
    )
    label = await stage.labels.CreateLabel(labels_pb2.CreateLabelRequest(name="home"), metadata=stage.ada.metadata)
    whole = await stage.create("Whole")
    first = await stage.create(
        due_on="2026-01-01",
        recurrence=daily(),
        project_id=project.id,
        label_ids=[label.label.id],
        parent_id=whole.id,
    )
    assert first.state_id == state.id
    await complete(stage, first)
    second = await task_of(stage, first, "2026-01-02")
    assert (second.project_id, second.state_id, second.parent_id) == (project.id, state.id, whole.id)
    await stage.labels.DeleteLabel(labels_pb2.DeleteLabelRequest(id=label.label.id), metadata=stage.ada.metadata)
    await patch(stage, second, parent_id=None)
    await delete(stage, whole)
    # Its state is full then: people may not add to it, but it holds what recurs.
    await complete(stage, second)
    await stage.create("In the way", project_id=project.id)
    third = await task_of(stage, second, "2026-01-03")
    assert third.project_id == project.id
    assert (list(third.label_ids), third.parent_id) == ([], "")


async def test_a_repeated_call_begins_one_series(stage: Stage) -> None:
    tasks = [await stage.create(due_on="2026-01-01", recurrence=daily(), request_id="once") for _ in range(2)]
    assert tasks[0].id == tasks[1].id
    assert len(await living(stage)) == 1


async def test_the_log_tells_the_whole_of_it(stage: Stage) -> None:
    first = await stage.create(due_on="2025-12-30", recurrence=daily(catch_up=recurrence_pb2.RECURRENCE_CATCH_UP_ALL))
    await task_of(stage, first, "2026-01-01")
    await stage.series.SkipOccurrence(
        series_pb2.SkipOccurrenceRequest(id=first.id, occurrence="2026-01-03"), metadata=stage.ada.metadata
    )
    second = await task_of(stage, first, "2025-12-31")
    split = await patch(stage, second, title="Feed the cat", scope="following")
    await delete(stage, first)
    await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=first.id), metadata=stage.ada.metadata)
    await complete(stage, await task_of(stage, split, "2026-01-01"))
    await task_of(stage, split, "2026-01-02")
    before = await occurrences(stage, split)
    assert before[-1] == ("2026-01-03", SKIPPED)
    await require_rebuilt(stage.database_url)
    assert await occurrences(stage, split) == before


async def test_snoozing_moves_the_reminder_and_is_told(stage: Stage) -> None:
    task = await stage.create(remind_at=instant("2026-01-01T13:00:00Z"))
    until = instant("2026-01-01T15:00:00Z")
    request = tasks_pb2.SnoozeTaskRequest(id=task.id, until=until)
    snoozed = (await stage.tasks.SnoozeTask(request, metadata=stage.ada.metadata)).task
    assert snoozed.remind_at == until
    with pytest.raises(NotFound):
        await stage.tasks.SnoozeTask(request, metadata=stage.grace.metadata)
    answer = await stage.history.ListTaskHistory(
        history_pb2.ListTaskHistoryRequest(id=task.id), metadata=stage.ada.metadata
    )
    assert "remind_at" in [change.field for entry in answer.entries for change in entry.changes]


async def test_a_copy_of_the_workspace_has_the_series_of_its_tasks(stage: Stage) -> None:
    empty = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    task = await stage.create(due_on="2026-01-01", recurrence=daily())
    for since in (empty.next_token, ""):
        answer = await stage.sync.Sync(sync_pb2.SyncRequest(since=since), metadata=stage.ada.metadata)
        heard = {each.kind: each for each in answer.changes}
        assert {kind: each.id for kind, each in heard.items()} == {"task": task.id, "task_series": task.series_id}
        assert heard["task_series"].data.task_series.recurrence == task.recurrence
        assert heard["task_series"].version == heard["task_series"].data.task_series.version
