"""Importing tasks that recur, and exporting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from exporting import exported
from importing import codes, run, tasks_of
from rebuilding import require_rebuilt
from rota.tasks.v1 import exports_pb2, imports_pb2, recurrence_pb2, series_pb2, tasks_pb2
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User

CSV, ROTA, TODOIST, VIKUNJA, TEMPLATE = (
    imports_pb2.ImportFormat.Value(f"IMPORT_FORMAT_{name}")
    for name in ("CSV", "ROTA", "TODOIST", "VIKUNJA", "TODOIST_CSV")
)
COMPLETION = recurrence_pb2.RECURRENCE_ANCHOR_COMPLETION


async def names(stage: Stage, task: Any, *, user: User | None = None, preview: int = 0) -> list[str]:
    request = series_pb2.ListOccurrencesRequest(id=task.id, preview=preview)
    answer = await stage.series.ListOccurrences(request, metadata=(user or stage.ada).metadata)
    return [each.occurrence for each in answer.occurrences]


async def test_rows_of_a_table_begin_series_and_what_is_not_understood_is_told(stage: Stage) -> None:
    rows = [
        "title,due,recurrence,status,time_zone",
        "Water,2026-01-03,FREQ=WEEKLY;BYDAY=SA,,Europe/Berlin",
        "Feed,2026-01-03T08:00:00Z,3d,,",
        "Walk,,every mon,,",
        "Wait,2026-01-05,!1w,,",
        "Gone,2026-01-03,1d,done,",
        "Odd,2026-01-03,when I like,,",
        "Never,2026-01-03,FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30,,",
        "Mars,2026-01-03,1d,,Mars/Olympus",
    ]
    job = await run(stage, "\n".join(rows))
    assert (job.created, job.failed) == (8, 0)
    assert sorted(codes(job)) == [
        ("line 6", "RECURRENCE_LEFT_OUT"),
        ("line 7", "RECURRENCE_LEFT_OUT"),
        ("line 8", "RECURRENCE_LEFT_OUT"),
        ("line 9", "TIME_ZONE_UNKNOWN"),
    ]
    assert all("when I like" in each.detail for each in job.problems if each.place == "line 7")
    tasks = await tasks_of(stage)
    assert await names(stage, tasks["Water"], preview=2) == ["2026-01-03", "2026-01-10", "2026-01-17"]
    assert tasks["Water"].recurrence.time_zone == "Europe/Berlin"
    assert await names(stage, tasks["Feed"], preview=1) == ["2026-01-03T08:00:00Z", "2026-01-06T08:00:00Z"]
    assert tasks["Walk"].due_on == "2026-01-05"
    assert tasks["Wait"].recurrence.anchor == COMPLETION
    assert tasks["Mars"].HasField("recurrence")
    assert not any(tasks[title].HasField("recurrence") for title in ("Gone", "Odd", "Never"))
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=tasks["Water"].id), metadata=stage.ada.metadata)

    async def follows() -> bool:
        return "2026-01-10" in await names(stage, tasks["Water"])

    assert await eventually(follows)


async def test_a_dry_run_tells_of_the_same_and_begins_nothing(stage: Stage) -> None:
    job = await run(stage, "title,recurrence\nWater,1d\nOdd,FREQ=NEVER\n", dry_run=True)
    assert (job.created, codes(job)) == (2, [("line 3", "RECURRENCE_LEFT_OUT")])
    assert await tasks_of(stage) == {}


async def test_importing_again_begins_no_second_series(stage: Stage) -> None:
    content = "id,title,recurrence\n1,Water,1d\n"
    await run(stage, content)
    again = await run(stage, content)
    assert (again.created, again.skipped) == (0, 1)
    (task,) = (await tasks_of(stage)).values()
    assert len(await names(stage, task)) == 1


async def test_a_part_of_what_recurs_does_not_recur_itself(stage: Stage) -> None:
    rows = ["id,title,parent_id,recurrence", "1,Whole,,1w", "2,Part,1,1d", "3,Deep,2,1d", "4,Other,,", "5,Alone,4,1d"]
    job = await run(stage, "\n".join(rows))
    assert codes(job) == [("line 3", "RECURRENCE_LEFT_OUT"), ("line 4", "RECURRENCE_LEFT_OUT")]
    tasks = await tasks_of(stage)
    assert [title for title in sorted(tasks) if tasks[title].HasField("recurrence")] == ["Alone", "Whole"]
    later = await run(stage, "id,title,parent_id,recurrence\n2,Part,,\n6,Late,2,1d\n")
    assert codes(later) == [("line 3", "RECURRENCE_LEFT_OUT")]


async def test_what_todoist_and_vikunja_repeat_recurs_here(stage: Stage) -> None:
    todoist = {
        "items": [
            {"id": "1", "content": "Bake", "due": {"date": "2026-12-24", "is_recurring": True, "string": "every year"}},
            {
                "id": "2",
                "content": "Stretch",
                "due": {"date": "2026-01-03T08:00:00Z", "is_recurring": True, "string": "every! 3 days at 8am"},
            },
        ]
    }
    assert codes(await run(stage, todoist, format=TODOIST)) == []
    template = "TYPE,CONTENT,PRIORITY,INDENT,DATE\ntask,Sweep,1,1,every fri\n"
    assert codes(await run(stage, template, format=TEMPLATE)) == []
    vikunja = [
        {
            "id": 1,
            "title": "House",
            "tasks": [
                {"id": 1, "title": "Bins", "due_date": "2026-01-03T08:00:00Z", "repeat_after": 604800},
                {"id": 2, "title": "Rent", "due_date": "2026-01-31T08:00:00Z", "repeat_mode": 1},
                {"id": 3, "title": "Oil", "repeat_after": 86400, "repeat_mode": 2},
            ],
        }
    ]
    assert codes(await run(stage, vikunja, format=VIKUNJA)) == []
    tasks = await tasks_of(stage)
    assert await names(stage, tasks["Bake"], preview=1) == ["2026-12-24", "2027-12-24"]
    assert (tasks["Stretch"].recurrence.every, tasks["Stretch"].recurrence.anchor) == ("3d", COMPLETION)
    assert tasks["Sweep"].due_on == "2026-01-02"
    assert await names(stage, tasks["Bins"], preview=1) == ["2026-01-03T08:00:00Z", "2026-01-10T08:00:00Z"]
    assert await names(stage, tasks["Rent"], preview=1) == ["2026-01-31T08:00:00Z", "2026-02-28T08:00:00Z"]
    assert tasks["Oil"].recurrence.anchor == COMPLETION


@pytest.mark.parametrize(
    ("export", "format_"), [(exports_pb2.EXPORT_FORMAT_ROTA, ROTA), (exports_pb2.EXPORT_FORMAT_CSV, CSV)]
)
async def test_what_is_exported_goes_on_where_it_is_imported(stage: Stage, export: int, format_: int) -> None:
    rule = recurrence_pb2.Recurrence(every="2w", time_zone="Europe/Berlin")
    first = await stage.create("Water", due_on="2026-01-01", recurrence=rule)
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=first.id), metadata=stage.ada.metadata)

    async def second() -> Any:
        answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
        return next((each for each in answer.tasks if each.occurrence == "2026-01-15"), None)

    assert await eventually(second)
    await run(stage, await exported(stage, format=export), format=format_, user=stage.grace)
    answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.grace.metadata)
    there = {each.due_on: each for each in answer.tasks}
    assert set(there) == {"2026-01-01", "2026-01-15"}
    assert not there["2026-01-01"].HasField("recurrence")
    going_on = there["2026-01-15"]
    assert going_on.series_id != (await second()).series_id
    assert await names(stage, going_on, user=stage.grace, preview=1) == ["2026-01-15", "2026-01-29"]
    if format_ == ROTA:
        assert going_on.recurrence == first.recurrence
    await require_rebuilt(stage.database_url)
