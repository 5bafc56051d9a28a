"""Exporting, and importing what was exported, through gRPC, on real servers."""

from __future__ import annotations

import csv
import io
import random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from exporting import CSV, exported
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from importing import run
from rebuilding import require_rebuilt
from rota.tasks.v1 import (
    boards_pb2,
    checklists_pb2,
    comments_pb2,
    custom_fields_pb2,
    imports_pb2,
    labels_pb2,
    projects_pb2,
    reactions_pb2,
    relations_pb2,
    tasks_pb2,
)
from rota_chassis.errors import Conflict, RotaError
from rota_chassis.ids import uuid7

if TYPE_CHECKING:
    from conftest import Stage


async def add_steps(stage: Stage, task_id: str, steps: int) -> None:
    """A checklist, its second item ticked off."""
    for step in range(steps):
        request = checklists_pb2.CreateChecklistItemRequest(task_id=task_id, title=f"step {step}")
        item = (await stage.checklists.CreateChecklistItem(request, metadata=stage.ada.metadata)).item
        if step == 1:
            tick = checklists_pb2.UpdateChecklistItemRequest(
                task_id=task_id, id=item.id, is_done=True, update_mask=FieldMask(paths=["is_done"])
            )
            await stage.checklists.UpdateChecklistItem(tick, metadata=stage.ada.metadata)


async def fill(stage: Stage, seed: int) -> None:
    """A workspace of Ada's with something of everything."""
    chance, by = random.Random(seed), {"metadata": stage.ada.metadata}  # noqa: S311 (test data)
    labels = [
        (await stage.labels.CreateLabel(labels_pb2.CreateLabelRequest(name=name, color="#00ff00"), **by)).label.id
        for name in ("red", "blue; dark", "=formula")
    ]
    places: list[dict[str, str]] = [{}]
    for name in ("House", "Garden"):
        visibility = projects_pb2.PROJECT_VISIBILITY_PRIVATE if name == "Garden" else None
        request = projects_pb2.CreateProjectRequest(
            name=name, description=f"*{name}*", color="#123456", visibility=visibility
        )
        project = (await stage.projects.CreateProject(request, **by)).project.id
        section = (
            await stage.boards.CreateSection(boards_pb2.CreateSectionRequest(project_id=project, name="Soon"), **by)
        ).section.id
        places += [{"project_id": project}, {"project_id": project, "section_id": section}]
        if name == "House":
            states = [
                (
                    await stage.boards.CreateState(
                        boards_pb2.CreateStateRequest(project_id=project, name=word, group=group, wip_limit=limit), **by
                    )
                ).state.id
                for word, group, limit in (
                    ("Open", tasks_pb2.TASK_STATUS_TODO, 0),
                    ("Now", tasks_pb2.TASK_STATUS_IN_PROGRESS, 40),
                    ("Finished", tasks_pb2.TASK_STATUS_DONE, 0),
                )
            ]
            places += [{"project_id": project, "state_id": state} for state in states]
    fields = [
        (
            await stage.fields.CreateCustomField(
                custom_fields_pb2.CreateCustomFieldRequest(
                    project_id=places[1]["project_id"],
                    name=kind.title(),
                    type=custom_fields_pb2.CustomFieldType.Value(f"CUSTOM_FIELD_TYPE_{kind}"),
                    options=[custom_fields_pb2.CustomOption(name=each, color="#00ff00") for each in ("Oak", "Elm")],
                ),
                **by,
            )
        ).field
        for kind in ("TEXT", "MONEY", "SELECT", "MULTI_SELECT", "PERSON")
    ]
    options = [each.id for each in fields[2].options], [each.id for each in fields[3].options]
    values = {
        fields[0].id: tasks_pb2.CustomValue(text="=1+1"),
        fields[1].id: tasks_pb2.CustomValue(money=tasks_pb2.Money(amount="-1.50", currency="EUR")),
        fields[2].id: tasks_pb2.CustomValue(option_id=options[0][1]),
        fields[3].id: tasks_pb2.CustomValue(option_ids=tasks_pb2.OptionIds(ids=options[1][::-1])),
        fields[4].id: tasks_pb2.CustomValue(user_id=str(stage.ada.id)),
    }
    tasks: list[str] = []
    for number in range(30):
        place = chance.choice(places)
        has_values = place.get("project_id") == places[1]["project_id"]
        parent = {"parent_id": chance.choice(tasks)} if tasks and chance.random() < 0.5 else {}
        due = chance.choice([{}, {"due_on": "2026-12-24"}, {"due_at": Timestamp(seconds=1800000000 + number)}])
        task = await stage.create(
            chance.choice(["Water", "=1+1", "'quoted'", 'a "b", c;\nd', "ünïcode ☃"]) + f" {number}",
            description=chance.choice(["", "line\r\nline", "-minus"]),
            priority=chance.choice([0, tasks_pb2.TASK_PRIORITY_HIGH]),
            progress=chance.choice([0, 40]),
            category=chance.choice(["", "home"]),
            time_zone=chance.choice(["", "Europe/Berlin"]),
            label_ids=chance.sample(labels, chance.randint(0, 3)),
            assignee_ids=chance.choice([[], [str(stage.ada.id)]]),
            **({"estimate_s": 60} if chance.random() < 0.3 else {}),
            fields={each.id: values[each.id] for each in chance.sample(fields, 3)} if has_values else {},
            remind_before_s=chance.choice([[], [60, 3600]]),
            **place,
            **parent,
            **due,
        )
        tasks.append(task.id)
        if chance.random() < 0.2:
            try:
                await stage.tasks.CompleteTask(tasks_pb2.CompleteTaskRequest(id=task.id), **by)
            except RotaError as error:
                assert error.code == "TRANSITION_REFUSED"  # noqa: PT017
        await add_steps(stage, task.id, chance.choice([0, 0, 3]))
        if chance.random() < 0.3:
            request = comments_pb2.CreateCommentRequest(task_id=task.id, text=f"About {number}")
            comment = (await stage.comments.CreateComment(request, **by)).comment
            for emoji in chance.sample(["👍", "🎉", "❤️"], chance.randint(0, 3)):
                await stage.reactions.CreateReaction(
                    reactions_pb2.CreateReactionRequest(comment_id=comment.id, emoji=emoji), **by
                )
    for _ in range(15):
        one, other = chance.sample(tasks, 2)
        kind = chance.choice([relations_pb2.RELATION_TYPE_IS_BLOCKED_BY, relations_pb2.RELATION_TYPE_RELATES])
        try:
            await stage.relations.CreateRelation(
                relations_pb2.CreateRelationRequest(id=one, task_id=other, type=kind), **by
            )
        except Conflict as error:
            assert error.code == "RELATION_CYCLE"  # noqa: PT017


CONTENTS = """
SELECT t.title, t.description, t.status, t.priority, t.due_at, t.due_on, t.start_at, t.start_on, t.deadline_at,
    t.estimate_s, t.progress, t.category, t.time_zone, t.completed_at, t.position, t.status_before, t.assignee_ids,
    t.remind_before_s, ARRAY(SELECT f.name || f.type || f.required || replace(replace(v.value::text,
            f.options -> 0 ->> 'id', f.options -> 0 ->> 'name'), f.options -> 1 ->> 'id', f.options -> 1 ->> 'name')
        FROM jsonb_each(t.fields) v JOIN custom_fields f ON f.workspace_id = t.workspace_id AND f.id = v.key::uuid
        WHERE jsonb_array_length(f.options) = 2 ORDER BY f.position) AS choices,
    ARRAY(SELECT f.name || f.type || f.required || v.value FROM jsonb_each(t.fields) v JOIN custom_fields f
        ON f.workspace_id = t.workspace_id AND f.id = v.key::uuid
        WHERE jsonb_array_length(f.options) = 0 ORDER BY f.position) AS fields,
    ARRAY(SELECT c.text || r.emoji || r.user_id || r.created_at FROM reactions r
        JOIN comments c ON c.workspace_id = r.workspace_id AND c.id = r.comment_id
        WHERE r.workspace_id = t.workspace_id AND r.task_id = t.id ORDER BY r.id) AS reactions,
    p.name AS project, p.description AS project_description, p.color, p.visibility, s.name AS section, st.name AS state,
    st.wip_limit, sb.name AS state_before, parent.title AS parent, parent.due_at AS parent_due,
    ARRAY(SELECT l.name || l.color FROM unnest(t.label_ids) WITH ORDINALITY given(id, place)
        JOIN labels l ON l.workspace_id = t.workspace_id AND l.id = given.id ORDER BY place) AS labels,
    ARRAY(SELECT r.type || ' ' || o.title FROM relations r JOIN tasks o ON o.workspace_id = r.workspace_id
        AND o.id = r.task_id WHERE r.workspace_id = t.workspace_id AND r.source_id = t.id ORDER BY 1) AS related,
    ARRAY(SELECT i.title || i.is_done || coalesce(i.done_at::text, '') FROM checklist_items i
        WHERE i.workspace_id = t.workspace_id AND i.task_id = t.id ORDER BY i.position, i.id) AS checklist,
    ARRAY(SELECT c.text || c.author_id || c.created_at FROM comments c WHERE c.workspace_id = t.workspace_id
        AND c.task_id = t.id ORDER BY c.id) AS comments
FROM tasks t
LEFT JOIN projects p ON p.workspace_id = t.workspace_id AND p.id = t.project_id
LEFT JOIN sections s ON s.workspace_id = t.workspace_id AND s.id = t.section_id
LEFT JOIN states st ON st.workspace_id = t.workspace_id AND st.id = t.state_id
LEFT JOIN states sb ON sb.workspace_id = t.workspace_id AND sb.id = t.state_id_before
LEFT JOIN tasks parent ON parent.workspace_id = t.workspace_id AND parent.id = t.parent_id
WHERE t.workspace_id = $1 ORDER BY t.title
"""


async def contents(stage: Stage, workspace_id: Any, *, without: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(stage.database_url)
    try:
        rows = await connection.fetch(CONTENTS, workspace_id)
    finally:
        await connection.close()
    return [{name: value for name, value in row.items() if name not in without} for row in rows]


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_exported_and_imported_is_equal(stage: Stage, seed: int) -> None:
    stage.auth.add_member(stage.grace.workspace_id, stage.ada.id)
    await fill(stage, seed)
    text = await exported(stage)
    await stage.tasks.CreateTask(
        tasks_pb2.CreateTaskRequest(title="other", workspace_id=str(stage.grace.workspace_id)),
        metadata=stage.ada.metadata,
    )
    job = await run(stage, text, user=stage.grace, format=imports_pb2.IMPORT_FORMAT_ROTA)
    assert (job.status, list(job.problems)) == (imports_pb2.IMPORT_STATUS_DONE, [])
    there = await contents(stage, stage.ada.workspace_id)
    here = [row for row in await contents(stage, stage.grace.workspace_id) if row["title"] != "other"]
    assert here == there
    assert {row["visibility"] for row in here if row["project"] == "Garden"} == {"private"}
    for what in ("choices", "fields", "reactions"):
        assert any(row[what] for row in here), what
    again = await run(stage, text, user=stage.grace, format=imports_pb2.IMPORT_FORMAT_ROTA)
    assert (again.created, again.failed) == (0, 0)


async def test_a_table_that_was_exported_holds_the_tasks(stage: Stage) -> None:
    await fill(stage, 5)
    text = await exported(stage, format=CSV)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())
    job = await run(stage, text, user=stage.grace, format=imports_pb2.IMPORT_FORMAT_CSV)
    assert job.status == imports_pb2.IMPORT_STATUS_DONE
    without = (
        "state",
        "state_before",
        "status_before",
        "wip_limit",
        "position",
        "labels",
        "related",
        "comments",
        "reactions",
        "choices",
        "fields",
        "remind_before_s",
        "checklist",
    )
    without += ("assignee_ids", "project_description", "color", "visibility", "completed_at")
    assert await contents(stage, stage.grace.workspace_id, without=without) == await contents(
        stage, stage.ada.workspace_id, without=without
    )


async def test_a_project_is_exported_alone(stage: Stage) -> None:
    by = {"metadata": stage.ada.metadata}
    project = (await stage.projects.CreateProject(projects_pb2.CreateProjectRequest(name="House"), **by)).project
    outside = await stage.create("outside")
    inside = await stage.create("inside", project_id=project.id, parent_id=outside.id)
    below = await stage.create("below", project_id=project.id, parent_id=inside.id)
    for other in (outside, below):
        request = relations_pb2.CreateRelationRequest(
            id=inside.id, task_id=other.id, type=relations_pb2.RELATION_TYPE_RELATES
        )
        await stage.relations.CreateRelation(request, **by)
    lines = [orjson.loads(line) for line in (await exported(stage, project_id=project.id)).splitlines()]
    tasks = [line["data"] for line in lines if line["kind"] == "task"]
    assert [(task["title"], task["parent_id"]) for task in tasks] == [("inside", None), ("below", inside.id)]
    assert [line["kind"] for line in lines] == ["rota", "project", "task", "task", "relation", "end"]


async def test_an_export_says_where_attached_files_are_and_an_import_that_they_are_not_in_it(stage: Stage) -> None:
    task = await stage.create("With a file")
    attachment_id = uuid7()
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute(
        "INSERT INTO attachments VALUES ($1, $2, $3, 'plan.pdf', 'application/pdf', 7, 'abc', $4, now(), 1)",
        stage.ada.workspace_id,
        attachment_id,
        UUID(task.id),
        stage.ada.id,
    )
    await connection.close()
    text = await exported(stage)
    (line,) = [each["data"] for each in map(orjson.loads, text.splitlines()) if each["kind"] == "attachment"]
    assert (line["name"], line["size"], line["task_id"]) == ("plan.pdf", 7, task.id)
    assert line["content_path"] == f"/api/v1/attachments/{attachment_id}/content"
    job = await run(stage, text, user=stage.grace, format=imports_pb2.IMPORT_FORMAT_ROTA)
    assert [(each.code, each.left_out) for each in job.problems] == [("FILE_NOT_INCLUDED", True)]
    assert job.created == 1


async def test_values_and_reactions_that_do_not_fit_are_left_out_with_a_problem(stage: Stage) -> None:
    project, field, task, comment = (str(uuid7()) for _ in range(4))
    lines: list[tuple[str, dict[str, Any]]] = [
        ("rota", {"version": 1}),
        ("project", {"id": project, "name": "House"}),
        ("custom_field", {"id": field, "project_id": project, "name": "Budget", "type": "number"}),
        ("custom_field", {"id": str(uuid7()), "project_id": str(uuid7()), "name": "Lost", "type": "text"}),
        ("task", {"id": task, "project_id": project, "title": "One", "fields": {field: {"number": 3}}}),
        ("task", {"id": str(uuid7()), "project_id": project, "title": "Two", "fields": {field: {"text": "x"}}}),
        ("task", {"id": str(uuid7()), "project_id": project, "title": "Three", "fields": {field: {"number": "x"}}}),
        ("comment", {"id": comment, "task_id": task, "text": "Yes", "author_id": str(stage.ada.id)}),
        ("reaction", {"id": str(uuid7()), "comment_id": comment, "emoji": "👍", "user_id": str(stage.ada.id)}),
        ("reaction", {"id": str(uuid7()), "comment_id": comment, "emoji": "no", "user_id": str(stage.ada.id)}),
        ("reaction", {"id": str(uuid7()), "comment_id": comment, "emoji": "👍", "user_id": str(stage.grace.id)}),
        ("end", {}),
    ]
    text = "".join(orjson.dumps({"kind": kind, "data": data}).decode() + "\n" for kind, data in lines)
    job = await run(stage, text, user=stage.ada, format=imports_pb2.IMPORT_FORMAT_ROTA)
    assert {each.code for each in job.problems} == {
        "PROJECT_NOT_FOUND",
        "VALUE_NOT_TAKEN",
        "VALUE_NOT_UNDERSTOOD",
        "NOT_AN_EMOJI",
        "PERSON_UNKNOWN",
    }
    assert (job.created, job.failed) == (7, 3)
    connection = await asyncpg.connect(stage.database_url)
    assert await connection.fetchval("SELECT count(*) FROM tasks WHERE fields <> '{}'") == 1
    assert await connection.fetchval("SELECT count(*) FROM reactions") == 1
    await connection.close()
    await require_rebuilt(stage.database_url)
