"""Copying projects, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from rota.tasks.v1 import (
    boards_pb2,
    checklists_pb2,
    comments_pb2,
    copies_pb2,
    custom_fields_pb2,
    labels_pb2,
    projects_pb2,
    relations_pb2,
    search_pb2,
    tasks_pb2,
)
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, Unavailable, Unprocessable
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.pool import prepare_connection
from rota_chassis.testing.waiting import eventually
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User

PEOPLE, COMMENTS = copies_pb2.COPY_PART_PEOPLE, copies_pb2.COPY_PART_COMMENTS
REOPEN, LEAVE_OUT = copies_pb2.COMPLETED_TASKS_REOPEN, copies_pb2.COMPLETED_TASKS_LEAVE_OUT
TODO, DONE = tasks_pb2.TASK_STATUS_TODO, tasks_pb2.TASK_STATUS_DONE

# Every column of a task but those that say which it is, who made it and what it refers to; and that by names.
CONTENTS = """
SELECT to_jsonb(t) - '{id,workspace_id,project_id,parent_id,section_id,state_id,state_id_before,fields}'::text[]
        - '{position,created_by,created_at,updated_at,version,series_id}'::text[] AS own,
    s.name AS section, st.name AS state, st.wip_limit, sb.name AS state_before, parent.title AS parent,
    (SELECT jsonb_object_agg(f.name, (v.value || jsonb_build_object('option', (
        SELECT o.value ->> 'name' FROM jsonb_array_elements(f.options) o
        WHERE o.value ->> 'id' = v.value ->> 'option_id'))) - 'option_id')
        FROM jsonb_each(t.fields) v
        JOIN custom_fields f ON f.id = v.key::uuid AND f.project_id = t.project_id) AS fields,
    ARRAY(SELECT r.type || ' ' || o.title || r.lag_s FROM relations r JOIN tasks o ON o.workspace_id = r.workspace_id
        AND o.id = r.task_id AND o.project_id = t.project_id
        WHERE r.workspace_id = t.workspace_id AND r.source_id = t.id ORDER BY 1) AS related,
    ARRAY(SELECT i.title || i.is_done FROM checklist_items i
        WHERE i.workspace_id = t.workspace_id AND i.task_id = t.id ORDER BY i.position, i.id) AS checklist,
    ARRAY(SELECT c.text || c.author_id || c.created_at FROM comments c WHERE c.workspace_id = t.workspace_id
        AND c.task_id = t.id ORDER BY c.id) AS comments
FROM tasks t
LEFT JOIN sections s ON s.workspace_id = t.workspace_id AND s.id = t.section_id AND s.project_id = t.project_id
LEFT JOIN states st ON st.workspace_id = t.workspace_id AND st.id = t.state_id AND st.project_id = t.project_id
LEFT JOIN states sb ON sb.workspace_id = t.workspace_id AND sb.id = t.state_id_before AND sb.project_id = t.project_id
LEFT JOIN tasks parent ON parent.workspace_id = t.workspace_id AND parent.id = t.parent_id
    AND parent.project_id = t.project_id
WHERE t.project_id = $1
ORDER BY coalesce(t.position, 'l' || replace(t.id::text, '-', '') || '8') COLLATE "C"
"""


async def contents(stage: Stage, project_id: str) -> list[dict[str, Any]]:
    """What the tasks of a project are, in the order of its board."""
    connection = await asyncpg.connect(stage.database_url)
    await prepare_connection(connection)
    try:
        return [dict(row) for row in await connection.fetch(CONTENTS, UUID(project_id))]
    finally:
        await connection.close()


async def count(stage: Stage, table: str) -> int:
    connection = await asyncpg.connect(stage.database_url)
    try:
        found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 (a name of ours)
        return found
    finally:
        await connection.close()


async def copy(stage: Stage, project_id: str, *, user: User | None = None, **fields: Any) -> Any:
    request = copies_pb2.CopyProjectRequest(id=project_id, **fields)
    return (await stage.copies.CopyProject(request, metadata=(user or stage.ada).metadata)).project


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=2)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


async def a_project(stage: Stage) -> Any:
    request = projects_pb2.CreateProjectRequest(name="House", description="*Ours*", color="#123456")
    return (await stage.projects.CreateProject(request, metadata=stage.ada.metadata)).project


async def a_house(stage: Stage) -> Any:
    """A project with something of everything."""
    by: dict[str, Any] = {"metadata": stage.ada.metadata}
    project = await a_project(stage)
    here = {"project_id": project.id}
    sections = [
        (await stage.boards.CreateSection(boards_pb2.CreateSectionRequest(name=name, **here), **by)).section.id
        for name in ("Soon", "Later")
    ]
    states = [
        (
            await stage.boards.CreateState(
                boards_pb2.CreateStateRequest(name=name, group=group, wip_limit=limit, **here), **by
            )
        ).state.id
        for name, group, limit in (("Open", TODO, 0), ("Now", tasks_pb2.TASK_STATUS_IN_PROGRESS, 9), ("Over", DONE, 0))
    ]
    guarded = boards_pb2.UpdateStateRequest(
        id=states[0],
        project_id=project.id,
        transitions=[boards_pb2.Transition(to_state_id=each) for each in states[1:]],
        update_mask=FieldMask(paths=["transitions"]),
    )
    await stage.boards.UpdateState(guarded, **by)
    option = custom_fields_pb2.CustomOption(name="Oak", color="#00ff00")
    wood = (
        await stage.fields.CreateCustomField(
            custom_fields_pb2.CreateCustomFieldRequest(
                name="Wood", type=custom_fields_pb2.CUSTOM_FIELD_TYPE_SELECT, options=[option], **here
            ),
            **by,
        )
    ).field
    budget = (
        await stage.fields.CreateCustomField(
            custom_fields_pb2.CreateCustomFieldRequest(
                name="Budget", type=custom_fields_pb2.CUSTOM_FIELD_TYPE_NUMBER, **here
            ),
            **by,
        )
    ).field
    label = (await stage.labels.CreateLabel(labels_pb2.CreateLabelRequest(name="red"), **by)).label.id
    floor = await stage.create(
        "Floor",
        description="Bevel the edges",
        priority=tasks_pb2.TASK_PRIORITY_HIGH,
        due_on="2027-03-05",
        start_on="2027-03-01",
        deadline_at=Timestamp(seconds=1_804_464_000),
        estimate_s=3600,
        progress=40,
        category="home",
        time_zone="Europe/Berlin",
        label_ids=[label],
        assignee_ids=[str(stage.ada.id)],
        remind_before_s=[600],
        section_id=sections[1],
        fields={
            wood.id: tasks_pb2.CustomValue(option_id=wood.options[0].id),
            budget.id: tasks_pb2.CustomValue(number=12.5),
        },
        **here,
    )
    planks = await stage.create("Planks", parent_id=floor.id, state_id=states[1], **here)
    nails = await stage.create(
        "Nails", parent_id=planks.id, due_at=Timestamp(seconds=1_800_000_000), time_zone="Europe/Berlin", **here
    )
    wall = await stage.create("Wall", **here)
    outside = await stage.create("Outside")
    await stage.create("Inside of outside", parent_id=outside.id, **here)
    for one, other, kind in (
        (floor.id, wall.id, relations_pb2.RELATION_TYPE_IS_BLOCKED_BY),
        (nails.id, planks.id, relations_pb2.RELATION_TYPE_RELATES),
        (wall.id, outside.id, relations_pb2.RELATION_TYPE_BLOCKS),
    ):
        await stage.relations.CreateRelation(
            relations_pb2.CreateRelationRequest(id=one, task_id=other, type=kind, lag_s=0), **by
        )
    for title in ("Measure", "Cut"):
        item = (
            await stage.checklists.CreateChecklistItem(
                checklists_pb2.CreateChecklistItemRequest(task_id=planks.id, title=title), **by
            )
        ).item
    await stage.checklists.UpdateChecklistItem(
        checklists_pb2.UpdateChecklistItemRequest(
            task_id=planks.id, id=item.id, is_done=True, update_mask=FieldMask(paths=["is_done"])
        ),
        **by,
    )
    await stage.comments.CreateComment(comments_pb2.CreateCommentRequest(task_id=wall.id, text="Which one?"), **by)
    await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=nails.id), **by)
    # By hand to the front.
    await stage.boards.MoveTask(boards_pb2.MoveTaskRequest(id=wall.id, before_id=floor.id), **by)
    return project


async def test_a_copy_holds_all_that_the_project_holds_and_rebuilds(stage: Stage) -> None:
    house = await a_house(stage)
    copied = await copy(stage, house.id, include=[PEOPLE, COMMENTS])
    assert copied.id != house.id
    assert (copied.name, copied.description, copied.color, copied.version) == ("House", "*Ours*", "#123456", 1)
    there, here = await contents(stage, house.id), await contents(stage, copied.id)
    assert [row["own"] for row in here] == [row["own"] for row in there]
    for name in there[0]:
        assert [row[name] for row in here] == [row[name] for row in there], name
    assert any(row["checklist"] == ["Measurefalse", "Cuttrue"] for row in here)
    assert any(row["comments"] for row in here)
    assert any(row["related"] for row in here)
    by = {"metadata": stage.ada.metadata}
    states = await stage.boards.ListStates(boards_pb2.ListStatesRequest(project_id=copied.id), **by)
    ids = {each.id for each in states.states}
    assert {way.to_state_id for each in states.states for way in each.transitions} <= ids
    assert len(ids) == 3
    found = await stage.search.SearchTasks(search_pb2.SearchTasksRequest(q="bevel"), **by)
    assert len(found.results) == 2
    assert await differences(stage) == 0
    # What stands in the copy can be worked with as any other.
    extra = await stage.create("Roof", project_id=copied.id)
    assert [row["own"]["title"] for row in await contents(stage, copied.id)][-1] == extra.title


async def test_without_a_wish_people_and_comments_stay_behind(stage: Stage) -> None:
    house = await a_house(stage)
    copied = await copy(stage, house.id, name="Next house")
    assert copied.name == "Next house"
    here = await contents(stage, copied.id)
    assert {tuple(row["own"]["assignee_ids"]) for row in here} == {()}
    assert not any(row["comments"] for row in here)
    there = await contents(stage, house.id)
    for name in ("fields", "related", "checklist", "section", "state", "parent"):
        assert [row[name] for row in here] == [row[name] for row in there]


async def test_those_who_left_are_left_out(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    project = await a_project(stage)
    people = [str(stage.ada.id), str(stage.grace.id)]
    await stage.create("Ours", project_id=project.id, assignee_ids=people)
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute("UPDATE memberships SET removed = true WHERE user_id = $1", stage.grace.id)
    await connection.close()
    copied = await copy(stage, project.id, include=[PEOPLE])
    (row,) = await contents(stage, copied.id)
    assert row["own"]["assignee_ids"] == [str(stage.ada.id)]


async def test_completed_tasks_begin_anew_or_are_left_out(stage: Stage) -> None:
    house = await a_house(stage)
    anew = await contents(stage, (await copy(stage, house.id, completed=REOPEN)).id)
    assert {row["own"]["status"] for row in anew} == {"todo", "in_progress"}
    assert {row["own"]["completed_at"] for row in anew} == {None}
    assert {row["own"]["progress"] for row in anew} == {0}
    assert [row["checklist"] for row in anew if row["checklist"]] == [["Measurefalse", "Cutfalse"]]
    assert all(row["state"] in ("Open", "Now") for row in anew)
    fewer = await contents(stage, (await copy(stage, house.id, completed=LEAVE_OUT)).id)
    assert {row["own"]["title"] for row in anew} - {row["own"]["title"] for row in fewer} == {"Nails"}
    assert await differences(stage) == 0


async def test_dates_move_by_days_and_keep_their_time_of_day(stage: Stage) -> None:
    project = await a_project(stage)
    # 07:59 in Berlin; the clocks go forward on 2027-03-28.
    await stage.create(
        "Call", project_id=project.id, due_at=Timestamp(seconds=1_805_525_940), time_zone="Europe/Berlin"
    )
    await stage.create("Paint", project_id=project.id, start_on="2027-03-21", due_on="2027-03-25")
    await stage.create("Whenever", project_id=project.id)
    copied = await copy(stage, project.id, start_on="2027-04-01")
    own = {row["own"]["title"]: row["own"] for row in await contents(stage, copied.id)}
    assert own["Call"]["due_at"] == "2027-04-01T05:59:00+00:00"
    assert (own["Paint"]["start_on"], own["Paint"]["due_on"]) == ("2027-04-02", "2027-04-06")
    assert own["Whenever"]["due_on"] is None


@pytest.mark.parametrize("start_on", ["0001-01-01", "9999-12-31"])
async def test_a_start_that_moves_a_date_out_of_the_calendar_is_refused(stage: Stage, start_on: str) -> None:
    project = await a_project(stage)
    await stage.create("First", project_id=project.id, due_on="2027-02-20", deadline_at=Timestamp(seconds=1))
    await stage.create("Second", project_id=project.id, due_on="2027-02-21")
    with pytest.raises(Conflict) as caught:
        await copy(stage, project.id, start_on=start_on)
    assert caught.value.code == "DATE_OUT_OF_RANGE"
    assert [each.field for each in caught.value.violations] == ["start_on"]
    assert await count(stage, "projects") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", " "), ("name", "x" * 201), ("start_on", "2027-02-30"), ("include", [0]), ("completed", 9)],
)
async def test_a_wish_that_is_none_is_refused(stage: Stage, field: str, value: Any) -> None:
    project = await a_project(stage)
    with pytest.raises(InvalidArgument) as caught:
        await copy(stage, project.id, **{field: value})
    assert [each.field.partition("[")[0] for each in caught.value.violations] == [field]


async def test_the_same_request_at_once_makes_one_copy(stage: Stage) -> None:
    house = await a_house(stage)
    made = await asyncio.gather(*(copy(stage, house.id, request_id="key") for _ in range(5)))
    assert len({each.id for each in made}) == 1
    assert await count(stage, "projects") == 2
    with pytest.raises(Unprocessable) as caught:
        await copy(stage, house.id, request_id="key", name="Other")
    assert caught.value.code == "REQUEST_ID_REUSED"


async def test_two_at_once_make_two_copies(stage: Stage) -> None:
    house = await a_house(stage)
    made = await asyncio.gather(*(copy(stage, house.id) for _ in range(4)))
    assert len({each.id for each in made}) == 4
    there = [row["own"] for row in await contents(stage, made[0].id)]
    for each in made[1:]:
        assert [row["own"] for row in await contents(stage, each.id)] == there
    assert await differences(stage) == 0


async def test_a_copy_whose_connection_ends_in_the_middle_leaves_nothing(stage: Stage) -> None:
    house = await a_house(stage)
    before = {table: await count(stage, table) for table in ("projects", "tasks", "events", "relations", "states")}
    connection = await asyncpg.connect(stage.database_url)
    async with connection.transaction():
        # It comes to a stand when the tasks are written and their documents are not.
        await connection.execute("LOCK TABLE search_documents IN EXCLUSIVE MODE")
        copying = asyncio.ensure_future(copy(stage, house.id, request_id="key"))

        async def ended() -> bool:
            found: bool | None = await connection.fetchval(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            return bool(found)

        await eventually(ended)
        with pytest.raises(Unavailable):
            await copying
    await connection.close()
    assert {table: await count(stage, table) for table in before} == before
    copied = await copy(stage, house.id, request_id="key")
    assert len(await contents(stage, copied.id)) == len(await contents(stage, house.id))


async def test_another_users_project_does_not_exist(stage: Stage) -> None:
    project = await a_project(stage)
    for missing, user in ((project.id, stage.grace), (str(uuid4()), stage.ada)):
        with pytest.raises(NotFound) as caught:
            await copy(stage, missing, user=user)
        assert caught.value.code == "PROJECT_NOT_FOUND"
    assert await count(stage, "projects") == 1


async def test_a_viewer_copies_nothing(stage: Stage) -> None:
    project = await a_project(stage)
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    with pytest.raises(PermissionDenied) as refused:
        await copy(stage, project.id, user=stage.grace)
    assert refused.value.code == "WORKSPACE_ROLE_REQUIRED"
    assert await count(stage, "projects") == 1


async def test_a_project_that_is_too_large_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota_tasks.copies.queries.MAX_OTHERS", 1)
    house = await a_house(stage)
    with pytest.raises(Conflict) as caught:
        await copy(stage, house.id)
    assert caught.value.code == "PROJECT_TOO_LARGE"
    assert await count(stage, "projects") == 1


async def test_an_empty_project_is_copied(stage: Stage) -> None:
    project = await a_project(stage)
    copied = await copy(stage, project.id, start_on="2027-01-01", completed=REOPEN)
    assert await contents(stage, copied.id) == []
