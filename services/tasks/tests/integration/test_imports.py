"""Importing, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from importing import codes, ended, run, start, tasks_of
from rebuilding import require_rebuilt
from rota.tasks.v1 import (
    boards_pb2,
    imports_pb2,
    labels_pb2,
    projects_pb2,
    search_pb2,
    tasks_pb2,
)
from rota_chassis.errors import Conflict, NotFound, PermissionDenied, Unprocessable
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage


TABLE = """\
id,title,description,status,priority,project,section,parent_id,labels,assignees,due,start,deadline,time_zone,estimate_s
1,Move house,"By the end,
of the year",in_progress,high,House,Plans,,moving; big,,2026-12-31,2026-12-01T08:00:00Z,,Europe/Berlin,3600
2,Pack,,done,,House,,1,moving,,,,,,
3,Call Grace,,,,,,,,{grace},2026-12-31T10:00:00+02:00,,2027-01-05,,
"""


async def test_a_table_becomes_projects_sections_labels_and_tasks(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    await stage.create("known", assignee_ids=[str(stage.grace.id)])
    job = await run(stage, TABLE.format(grace=f"{stage.grace.id}@example.com"))
    assert (job.status, codes(job)) == (imports_pb2.IMPORT_STATUS_DONE, [])
    assert (job.read, job.created, job.skipped, job.failed) == (5, 5, 0, 0)
    assert {each.kind: each.created for each in job.counts} == {"project": 1, "section": 1, "task": 3}
    tasks = await tasks_of(stage)
    move, pack, call = tasks["Move house"], tasks["Pack"], tasks["Call Grace"]
    projects = await stage.projects.ListProjects(projects_pb2.ListProjectsRequest(), metadata=stage.ada.metadata)
    labels = await stage.labels.ListLabels(labels_pb2.ListLabelsRequest(), metadata=stage.ada.metadata)
    names = {label.id: label.name for label in labels.labels}
    assert [project.name for project in projects.projects] == ["House"]
    assert move.project_id == pack.project_id == projects.projects[0].id
    assert (move.description, move.status, move.priority) == (
        "By the end,\nof the year",
        tasks_pb2.TASK_STATUS_IN_PROGRESS,
        tasks_pb2.TASK_PRIORITY_HIGH,
    )
    assert (move.due_on, move.start_at.seconds, move.time_zone, move.estimate_s) == (
        "2026-12-31",
        1796112000,
        "Europe/Berlin",
        3600,
    )
    assert [names[each] for each in move.label_ids] == ["moving", "big"]
    assert (pack.parent_id, pack.status) == (move.id, tasks_pb2.TASK_STATUS_DONE)
    assert pack.HasField("completed_at")
    assert list(call.assignee_ids) == [str(stage.grace.id)]
    assert (call.due_at.seconds, call.deadline_at.seconds) == (1798704000, 1799107200)
    sections = await stage.boards.ListSections(
        boards_pb2.ListSectionsRequest(project_id=move.project_id), metadata=stage.ada.metadata
    )
    assert [(section.id, section.name) for section in sections.sections] == [(move.section_id, "Plans")]


async def test_what_was_imported_is_found_and_a_rebuild_agrees(stage: Stage) -> None:
    await run(stage, TABLE)
    found = await stage.search.SearchTasks(search_pb2.SearchTasksRequest(q="moving"), metadata=stage.ada.metadata)
    assert {each.task.title for each in found.results} == {"Move house", "Pack"}
    await require_rebuilt(stage.database_url)


async def test_importing_again_creates_nothing_twice(stage: Stage) -> None:
    first = await run(stage, TABLE)
    again = await run(stage, TABLE + "4,New,,,,House,Plans,1,,,,,,,\n")
    assert (first.created, again.created, again.skipped) == (5, 1, 5)
    assert len(await tasks_of(stage)) == 4
    other = await run(stage, TABLE, source="another server")
    assert other.created == 5


async def test_rows_without_ids_are_known_by_what_they_say(stage: Stage) -> None:
    content = "title\nWater\nWater\nSow\n"
    assert (await run(stage, content)).created == 3
    again = await run(stage, "title\nNew\nWater\nWater\nSow\n")
    assert (again.created, again.skipped) == (1, 3)


async def test_of_too_many_labels_the_first_are_made_and_the_rest_is_told(stage: Stage) -> None:
    many = ";".join(f"label {number}" for number in range(60))
    job = await run(stage, f"title,labels\nMany,{many}\nFew,label 1;LABEL 1;label 59\n")
    assert codes(job) == [("line 2", "TOO_MANY_LABELS")]
    tasks = await tasks_of(stage)
    assert (len(tasks["Many"].label_ids), len(tasks["Few"].label_ids)) == (50, 2)
    connection = await asyncpg.connect(stage.database_url)
    assert await connection.fetchval("SELECT count(*) FROM labels") == 51
    await connection.close()


async def test_a_dry_run_tells_what_would_be_created_and_changes_nothing(stage: Stage) -> None:
    job = await run(stage, TABLE, dry_run=True)
    assert {each.kind: each.created for each in job.counts} == {"project": 1, "section": 1, "task": 3}
    assert codes(job) == [("line 5", "PERSON_UNKNOWN")]
    assert await tasks_of(stage) == {}
    connection = await asyncpg.connect(stage.database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM events") == 0
        assert await connection.fetchval("SELECT count(*) FROM imported") == 0
        assert await connection.fetchval("SELECT count(*) FROM import_parts") == 0
    finally:
        await connection.close()


async def test_each_problem_names_its_place_and_the_other_rows_are_created(stage: Stage) -> None:
    content = (
        "id,title,status,parent_id,due,labels,time_zone,estimate_s\n"
        "1,Good,,,,,,\n"
        "2,,,,,,,\n"
        "3,Bad word,someday,,,,,\n"
        "4,Circle,,5,,,,\n"
        "5,Circle too,,4,,,,\n"
        "6,Odd date,,,the day after,,Mars/Olympus,-1\n"
        "7,Self,,7,,,,\n"
        "1,Twice,,,,,,\n"
    )
    job = await run(stage, content)
    assert job.status == imports_pb2.IMPORT_STATUS_DONE
    assert sorted(codes(job)) == [
        ("line 3", "TITLE_MISSING"),
        ("line 4", "WORD_UNKNOWN"),
        ("line 5", "PARENT_NOT_FOUND"),
        ("line 6", "PARENT_NOT_FOUND"),
        ("line 7", "DATE_NOT_UNDERSTOOD"),
        ("line 7", "NUMBER_OUT_OF_RANGE"),
        ("line 7", "TIME_ZONE_UNKNOWN"),
        ("line 8", "PARENT_NOT_FOUND"),
    ]
    assert (job.created, job.skipped, job.failed) == (2, 1, 5)
    assert set(await tasks_of(stage)) == {"Good", "Odd date"}


@pytest.mark.parametrize(
    ("content", "fields", "place", "code"),
    [
        ("name\nx\n", {}, "line 1", "COLUMN_MISSING"),
        ('title\n"open\n', {}, "line 2", "NOT_CSV"),
        ("", {}, "line 1", "COLUMN_MISSING"),
        ("{", {"format": imports_pb2.IMPORT_FORMAT_TRELLO}, "line 1, column 2", "NOT_JSON"),
        ("[]", {"format": imports_pb2.IMPORT_FORMAT_TRELLO}, "", "WRONG_FORMAT"),
        ("{}", {"format": imports_pb2.IMPORT_FORMAT_VIKUNJA}, "", "WRONG_FORMAT"),
        ('"text"', {"format": imports_pb2.IMPORT_FORMAT_TODOIST}, "", "WRONG_FORMAT"),
        ("a,b\n1,2\n", {"format": imports_pb2.IMPORT_FORMAT_TODOIST_CSV}, "line 1", "COLUMN_MISSING"),
        ('{"kind": "rota", "data": {"version": 1}}\n', {"format": imports_pb2.IMPORT_FORMAT_ROTA}, "line 2", "CUT_OFF"),
        ("not json\n", {"format": imports_pb2.IMPORT_FORMAT_ROTA}, "line 1", "NOT_JSON"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else None,
)
async def test_a_file_that_is_something_else_fails_and_says_where(
    stage: Stage, content: str, fields: dict[str, Any], place: str, code: str
) -> None:
    job = await run(stage, content, **fields)
    assert (job.status, codes(job)) == (imports_pb2.IMPORT_STATUS_FAILED, [(place, code)])


async def test_columns_and_people_are_mapped(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    await stage.create("known", assignee_ids=[str(stage.grace.id)])
    job = await run(
        stage,
        "Summary;Who;Due Date\nWater;Gracie;2026-12-01\nSow;Bob;\n",
        columns=[
            imports_pb2.ImportColumn(field="title", column="summary"),
            imports_pb2.ImportColumn(field="assignees", column="Who"),
            imports_pb2.ImportColumn(field="due", column="Due Date"),
        ],
        people=[
            imports_pb2.ImportPerson(name="gracie", email=f"{stage.grace.id}@example.com"),
            imports_pb2.ImportPerson(name="Eve", email="eve@example.com"),
        ],
    )
    assert codes(job) == [("", "PERSON_NOT_A_MEMBER"), ("line 3", "PERSON_UNKNOWN")]
    task = (await tasks_of(stage))["Water"]
    assert (list(task.assignee_ids), task.due_on) == ([str(stage.grace.id)], "2026-12-01")


async def test_a_file_comes_in_parts_in_any_order(stage: Stage) -> None:
    job = await start(stage, None)
    assert job.status == imports_pb2.IMPORT_STATUS_WAITING

    async def send(number: int, content: str, *, last: bool = False) -> Any:
        request = imports_pb2.AddImportPartRequest(id=job.id, number=number, content=content, last=last)
        return (await stage.imports.AddImportPart(request, metadata=stage.ada.metadata)).job

    await send(2, "ter\nS")
    await send(2, "ter\nS")
    with pytest.raises(Conflict) as different:
        await send(2, "other")
    assert different.value.code == "IMPORT_PART_DIFFERS"
    with pytest.raises(Conflict) as missing:
        await send(3, "ow\n", last=True)
    assert missing.value.code == "IMPORT_PARTS_MISSING"
    await send(1, "title\nWa")
    queued = await send(3, "ow\n", last=True)
    assert (queued.parts, queued.characters) == (3, 16)
    assert (await ended(stage, job.id)).created == 2
    assert set(await tasks_of(stage)) == {"Water", "Sow"}
    with pytest.raises(Conflict) as over:
        await send(4, "x")
    assert over.value.code == "IMPORT_NOT_WAITING"


async def test_a_cancelled_import_stays_so(stage: Stage) -> None:
    job = await start(stage, None)
    request = imports_pb2.CancelImportRequest(id=job.id)
    for _ in range(2):
        cancelled = (await stage.imports.CancelImport(request, metadata=stage.ada.metadata)).job
        assert cancelled.status == imports_pb2.IMPORT_STATUS_CANCELLED
    done = await run(stage, "title\nWater\n")
    request = imports_pb2.CancelImportRequest(id=done.id)
    assert (
        await stage.imports.CancelImport(request, metadata=stage.ada.metadata)
    ).job.status == imports_pb2.IMPORT_STATUS_DONE


async def test_another_user_does_not_see_an_import(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    job = await start(stage, None)
    for call, request in (
        (stage.imports.GetImport, imports_pb2.GetImportRequest(id=job.id)),
        (stage.imports.CancelImport, imports_pb2.CancelImportRequest(id=job.id)),
        (stage.imports.AddImportPart, imports_pb2.AddImportPartRequest(id=job.id, number=1, content="x")),
    ):
        with pytest.raises(NotFound):
            await call(request, metadata=stage.grace.metadata)
    listed = await stage.imports.ListImports(imports_pb2.ListImportsRequest(), metadata=stage.grace.metadata)
    assert list(listed.imports) == []


async def test_a_viewer_may_not_import_and_a_stranger_finds_no_workspace(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await start(stage, "title\n", user=stage.grace, workspace_id=str(stage.ada.workspace_id))
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")

    async def is_refused() -> bool:
        try:
            await start(stage, "title\n", user=stage.grace, workspace_id=str(stage.ada.workspace_id))
        except PermissionDenied:
            return True
        except NotFound:
            # What auth said is remembered for a second.
            return False
        raise AssertionError("a viewer imports")

    assert await eventually(is_refused)


async def test_imports_are_listed_newest_first_in_pages(stage: Stage) -> None:
    jobs = [await start(stage, None) for _ in range(3)]
    request = imports_pb2.ListImportsRequest(page_size=2, workspace_id=str(stage.ada.workspace_id))
    first = await stage.imports.ListImports(request, metadata=stage.ada.metadata)
    request.page_token = first.next_page_token
    second = await stage.imports.ListImports(request, metadata=stage.ada.metadata)
    listed = [each.id for each in [*first.imports, *second.imports]]
    assert (listed, second.next_page_token) == ([each.id for each in reversed(jobs)], "")


async def test_a_repeated_call_starts_one_import(stage: Stage) -> None:
    first, second = await asyncio.gather(
        *(start(stage, "title\nWater\n", request_id="once") for _ in range(2)),
    )
    assert first.id == second.id
    with pytest.raises(Unprocessable):
        await start(stage, "title\nSow\n", request_id="once")


async def test_two_imports_of_one_file_at_once_create_everything_once(stage: Stage) -> None:
    content = "id,title,labels\n" + "".join(f"{number},task {number},red;blue\n" for number in range(1500))
    jobs = [await start(stage, content) for _ in range(2)]
    done = [await ended(stage, job.id) for job in jobs]
    assert sum(job.created for job in done) == 1500
    assert [job.status for job in done] == [imports_pb2.IMPORT_STATUS_DONE] * 2


async def test_a_project_takes_tasks_with_its_states_and_limits(stage: Stage) -> None:
    project = (
        await stage.projects.CreateProject(projects_pb2.CreateProjectRequest(name="Shop"), metadata=stage.ada.metadata)
    ).project
    for name, group, limit in (("Open", tasks_pb2.TASK_STATUS_TODO, 0), ("Now", tasks_pb2.TASK_STATUS_IN_PROGRESS, 1)):
        await stage.boards.CreateState(
            boards_pb2.CreateStateRequest(project_id=project.id, name=name, group=group, wip_limit=limit),
            metadata=stage.ada.metadata,
        )
    job = await run(stage, "title,status\na,\nb,in_progress\nc,in_progress\nd,done\n", project_id=project.id)
    assert codes(job) == [("line 4", "WIP_LIMIT_REACHED"), ("line 5", "TRANSITION_REFUSED")]
    assert {title: task.project_id for title, task in (await tasks_of(stage)).items()} == {
        "a": project.id,
        "b": project.id,
    }


async def test_too_deep_is_refused_at_the_level(stage: Stage) -> None:
    rows = "".join(f"{level},level {level},{level - 1 or ''}\n" for level in range(1, 40))
    job = await run(stage, "id,title,parent_id\n" + rows)
    assert (job.created, job.failed) == (32, 7)
    assert codes(job)[0] == ("line 34", "SUBTASKS_TOO_DEEP")
