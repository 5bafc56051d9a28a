"""Tasks in a calendar, in a graph, and moved along with one another, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rebuilding import require_rebuilt
from rota.tasks.v1 import planning_pb2, projects_pb2, relations_pb2, tasks_pb2
from rota_chassis.errors import InvalidArgument, NotFound, PermissionDenied, PreconditionFailed

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(**away: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(NOON + timedelta(**away))
    return stamp


async def wait_for(stage: Stage, before: tasks_pb2.Task, after: tasks_pb2.Task, lag_s: int = 0) -> None:
    request = relations_pb2.CreateRelationRequest(
        id=before.id, type=relations_pb2.RELATION_TYPE_FINISHES_BEFORE, task_id=after.id, lag_s=lag_s
    )
    await stage.relations.CreateRelation(request, metadata=stage.ada.metadata)


async def calendar(stage: Stage, start: str, end: str, *, user: User | None = None, **fields: Any) -> list[str]:
    titles, token = [], ""
    while True:
        request = planning_pb2.GetCalendarRequest(to=end, page_size=2, page_token=token, **{"from": start}, **fields)
        answer = await stage.planning.GetCalendar(request, metadata=(user or stage.ada).metadata)
        titles += [entry.task.title for entry in answer.entries]
        token = answer.next_page_token
        if not token:
            return titles


async def reschedule(
    stage: Stage, task: tasks_pb2.Task, *, user: User | None = None, **fields: Any
) -> planning_pb2.RescheduleTaskResponse:
    request = planning_pb2.RescheduleTaskRequest(id=task.id, **fields)
    return await stage.planning.RescheduleTask(request, metadata=(user or stage.ada).metadata)


async def read(stage: Stage, task: tasks_pb2.Task) -> tasks_pb2.Task:
    return (await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)).task


async def test_a_calendar_shows_what_begins_ends_or_goes_on_in_its_range(stage: Stage) -> None:
    await stage.create("before", due_on="2026-10-31")
    await stage.create("begins", start_on="2026-11-30", due_on="2026-12-02")
    await stage.create("ends", start_on="2026-10-30", due_on="2026-11-01")
    await stage.create("goes on", start_on="2026-10-01", due_on="2026-12-31")
    await stage.create("at noon", due_at=at())
    await stage.create("after", start_on="2026-12-01")
    await stage.create("never")
    await stage.create("another's", user=stage.grace, due_at=at())
    assert await calendar(stage, "2026-11-01", "2026-12-01") == ["goes on", "ends", "at noon", "begins"]
    assert await calendar(stage, "2026-11-01", "2026-12-01", filter="start = null") == ["at noon"]
    assert await calendar(stage, "2026-11-01", "2026-12-01", user=stage.grace) == ["another's"]
    assert await calendar(stage, "2026-11-01", "2026-12-01", workspace_id=str(stage.ada.workspace_id)) != []
    with pytest.raises(NotFound):
        await calendar(stage, "2026-11-01", "2026-12-01", workspace_id=str(stage.grace.workspace_id))


@pytest.mark.parametrize(
    ("start", "end"), [("9999-12-01", "9999-12-31"), ("0001-01-01", "0001-02-01")], ids=["last-days", "first-days"]
)
async def test_a_calendar_goes_to_the_last_days_there_are(stage: Stage, start: str, end: str) -> None:
    await stage.create("on the first", start_on=start, due_on=start)
    assert await calendar(stage, start, end) == ["on the first"]


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        ("2026-02-30", "2026-03-01", "from"),
        ("today", "soon", "to"),
        ("today", "today", "to"),
        ("now", "now+401d", "to"),
    ],
    ids=["no-such-day", "no-instant", "empty", "too-long"],
)
async def test_a_calendar_without_a_range_is_refused(stage: Stage, start: str, end: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await calendar(stage, start, end)
    assert (caught.value.code, caught.value.violations[0].field) == ("INVALID_RANGE", field)


async def test_a_graph_shows_what_waits_for_what_and_the_critical_path(stage: Stage) -> None:
    request = projects_pb2.CreateProjectRequest(name="Home")
    project = (await stage.projects.CreateProject(request, metadata=stage.ada.metadata)).project
    paint, dry, move, loose = [
        await stage.create(title, project_id=project.id, estimate_s=3600 * count)
        for title, count in (("paint", 2), ("dry", 1), ("move", 3), ("loose", 1))
    ]
    await wait_for(stage, paint, dry)
    await wait_for(stage, dry, move, lag_s=7200)
    asked = planning_pb2.GetProjectGraphRequest(id=project.id)
    graph = await stage.planning.GetProjectGraph(asked, metadata=stage.ada.metadata)
    assert list(graph.critical_path) == [paint.id, dry.id, move.id]
    assert graph.duration_s == 8 * 3600
    assert {(each.from_id, each.to_id, each.lag_s) for each in graph.edges} == {
        (paint.id, dry.id, 0),
        (dry.id, move.id, 7200),
    }
    slack = {node.task.id: node.slack_s for node in graph.nodes}
    assert slack == {paint.id: 0, dry.id: 0, move.id: 0, loose.id: 7 * 3600}
    for user, project_id in ((stage.grace, project.id), (stage.ada, str(uuid4()))):
        with pytest.raises(NotFound):
            await stage.planning.GetProjectGraph(
                planning_pb2.GetProjectGraphRequest(id=project_id), metadata=user.metadata
            )


async def test_rescheduling_moves_what_waits_all_at_once_and_a_dry_run_nothing(stage: Stage) -> None:
    first = await stage.create("first", start_at=at(), due_at=at(hours=1))
    second = await stage.create("second", due_on="2026-11-21")
    third = await stage.create("third", start_at=at(hours=1), due_at=at(hours=2))
    await wait_for(stage, first, second)
    await wait_for(stage, first, third, lag_s=1800)
    told = await reschedule(stage, first, due_at=at(hours=2), dry_run=True)
    assert (await read(stage, third), told.applied) == (third, False)
    done = await reschedule(stage, first, due_at=at(hours=2))
    assert done.applied
    assert {each.title: each for each in done.moved} == {each.title: each for each in told.moved}
    assert done.moved[0].task_id == first.id
    assert {
        each.id: (each.version, each.due_at, each.due_on) for each in [await read(stage, x) for x in (second, third)]
    } == {
        second.id: (2, Timestamp(), "2026-11-22"),
        third.id: (2, at(hours=3, minutes=30), ""),
    }
    again = await reschedule(stage, first, due_at=at(hours=2))
    assert list(again.moved) == []


async def test_rescheduling_keeps_to_who_may_and_to_the_entity_tag(stage: Stage) -> None:
    task = await stage.create("mine", due_at=at())
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    with pytest.raises(PermissionDenied):
        await reschedule(stage, task, user=stage.grace, due_at=at(hours=1))
    another = await stage.create(user=stage.grace)
    with pytest.raises(NotFound):
        await reschedule(stage, another, due_at=at(hours=1))
    with pytest.raises(PreconditionFailed):
        await reschedule(stage, task, due_at=at(hours=1), if_match='"v9"')
    with pytest.raises(InvalidArgument):
        await reschedule(stage, task, due_on="2026-02-30")
    assert await read(stage, task) == task


async def test_those_who_reschedule_at_once_lose_no_move_and_a_rebuild_gives_the_same(stage: Stage) -> None:
    first, second = [await stage.create(title, due_at=at()) for title in ("first", "second")]
    last = await stage.create("last", start_at=at(), due_at=at(hours=1))
    await wait_for(stage, first, last)
    await wait_for(stage, second, last, lag_s=60)
    await asyncio.gather(
        *(
            reschedule(stage, task, due_at=at(hours=hour))
            for hour in range(1, 13)
            for task in (first, second)[:: (-1) ** hour]
        )
    )
    ends = {each.title: each for each in [await read(stage, x) for x in (first, second, last)]}
    latest = max(ends["first"].due_at.seconds, ends["second"].due_at.seconds + 60)
    assert ends["last"].start_at.seconds >= latest
    await require_rebuilt(stage.database_url)
    assert {each.title: each for each in [await read(stage, x) for x in (first, second, last)]} == ends
