"""Full-text search, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import batch_pb2, comments_pb2, labels_pb2, search_pb2, tasks_pb2
from rota_chassis.errors import InvalidArgument, NotFound
from rota_chassis.filters.literals import Context
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.testing.waiting import eventually
from rota_tasks.rebuild import rebuild
from rota_tasks.search import documents as documents_module
from rota_tasks.search import pieces
from rota_tasks.search.domain import Way
from rota_tasks.search.matching import page_query
from rota_tasks.search.words import Asked
from rota_tasks.tasks.filtering import filter_of
from searching import make_anew

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.services import User


async def search(stage: Stage, q: str, *, user: User | None = None, **fields: Any) -> search_pb2.SearchTasksResponse:
    request = search_pb2.SearchTasksRequest(q=q, **fields)
    return await stage.search.SearchTasks(request, metadata=(user or stage.ada).metadata)


async def titles(stage: Stage, q: str, **fields: Any) -> list[str]:
    return [each.task.title for each in (await search(stage, q, **fields)).results]


async def comment(stage: Stage, task: tasks_pb2.Task, text: str) -> comments_pb2.Comment:
    request = comments_pb2.CreateCommentRequest(task_id=task.id, text=text)
    return (await stage.comments.CreateComment(request, metadata=stage.ada.metadata)).comment


async def label(stage: Stage, name: str) -> labels_pb2.Label:
    request = labels_pb2.CreateLabelRequest(name=name)
    return (await stage.labels.CreateLabel(request, metadata=stage.ada.metadata)).label


async def documents(stage: Stage) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(stage.database_url)
    try:
        rows = await connection.fetch("SELECT task_id, document::text FROM search_documents ORDER BY task_id")
    finally:
        await connection.close()
    return [tuple(row) for row in rows]


async def test_words_are_found_in_titles_first_then_labels_descriptions_and_comments(stage: Stage) -> None:
    roses = await label(stage, "roses")
    await comment(stage, await stage.create("in a comment"), "roses want water")
    await stage.create("in the description", description="the roses by the wall")
    await stage.create("by label", label_ids=[roses.id])
    await stage.create("Prune roses")
    await stage.create("roses of another", user=stage.grace)
    assert await titles(stage, "roses") == ["Prune roses", "by label", "in the description", "in a comment"]
    assert await titles(stage, "rOs") == await titles(stage, "roses")
    assert await titles(stage, "roses water") == ["in a comment"]
    assert await titles(stage, '"the roses"') == ["in the description"]
    assert await titles(stage, "roses -prune -water -wall ") == ["by label"]
    assert await titles(stage, "prune or water ") == ["Prune roses", "in a comment"]
    assert await titles(stage, "roses", filter="title : label") == ["by label"]
    assert await titles(stage, "& ! ()") == []


async def test_highlights_mark_the_words_and_escape_the_rest(stage: Stage) -> None:
    await stage.create("water & feed", description="Then water the lawn.")
    (result,) = (await search(stage, "water")).results
    assert result.score > 0
    assert {each.field: each.html for each in result.highlights} == {
        "title": "<em>water</em> &amp; feed",
        "description": "Then <em>water</em> the lawn",
    }


async def test_pages_show_each_result_once(stage: Stage) -> None:
    made = {(await stage.create(f"water {number}")).id for number in range(7)}
    seen: list[str] = []
    token = ""
    while True:
        answer = await search(stage, "water", page_size=2, page_token=token)
        seen += [each.task.id for each in answer.results]
        token = answer.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted(made)


async def test_a_change_is_found_at_once_and_what_is_gone_is_not(stage: Stage) -> None:
    mark = await label(stage, "garden")
    task = await stage.create("one", label_ids=[mark.id])
    said = await comment(stage, task, "spade")
    await stage.labels.UpdateLabel(
        labels_pb2.UpdateLabelRequest(id=mark.id, name="yard", update_mask=FieldMask(paths=["name"])),
        metadata=stage.ada.metadata,
    )
    await stage.tasks.UpdateTask(
        tasks_pb2.UpdateTaskRequest(id=task.id, title="two", update_mask=FieldMask(paths=["title"])),
        metadata=stage.ada.metadata,
    )
    assert [await titles(stage, word) for word in ("one", "garden")] == [[], []]
    assert [await titles(stage, word) for word in ("two", "yard", "spade")] == [["two"]] * 3
    await stage.comments.DeleteComment(
        comments_pb2.DeleteCommentRequest(task_id=task.id, id=said.id), metadata=stage.ada.metadata
    )
    await stage.labels.DeleteLabel(labels_pb2.DeleteLabelRequest(id=mark.id), metadata=stage.ada.metadata)
    assert [await titles(stage, word) for word in ("spade", "yard")] == [[], []]
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert await documents(stage) == []


async def test_those_who_change_one_task_at_once_all_end_in_its_document_and_a_rebuild_equals_it(stage: Stage) -> None:
    mark = await label(stage, "garden")
    task = await stage.create("one", label_ids=[mark.id])
    update = tasks_pb2.UpdateTaskRequest(id=task.id, title="two", update_mask=FieldMask(paths=["title"]))
    rename = labels_pb2.UpdateLabelRequest(id=mark.id, name="yard", update_mask=FieldMask(paths=["name"]))
    await asyncio.gather(
        *(comment(stage, task, f"word{number}") for number in range(8)),
        stage.tasks.UpdateTask(update, metadata=stage.ada.metadata),
        stage.labels.UpdateLabel(rename, metadata=stage.ada.metadata),
    )
    words = ["two", "yard", *(f"word{number}" for number in range(8))]
    assert [await titles(stage, word) for word in words] == [["two"]] * len(words)
    before = await documents(stage)
    database = await Database.connect(stage.database_url, size=2)
    try:
        await rebuild(database)
    finally:
        await database.close()
    assert await documents(stage) == before


async def many_labelled(stage: Stage, mark: labels_pb2.Label, number: int) -> None:
    operations = [
        batch_pb2.BatchOperation(create=tasks_pb2.CreateTaskRequest(title=f"task {each}", label_ids=[mark.id]))
        for each in range(number)
    ]
    for start in range(0, number, 100):
        request = batch_pb2.BatchTasksRequest(operations=operations[start : start + 100])
        await stage.batches.BatchTasks(request, metadata=stage.ada.metadata)


async def rename(stage: Stage, mark: labels_pb2.Label, name: str) -> None:
    request = labels_pb2.UpdateLabelRequest(id=mark.id, name=name, update_mask=FieldMask(paths=["name"]))
    await stage.labels.UpdateLabel(request, metadata=stage.ada.metadata)


async def documents_with(stage: Stage, word: str) -> int:
    return sum(f"'{word}'" in document for _, document in await documents(stage))


async def test_a_label_of_very_many_tasks_is_renamed_in_their_documents_afterwards(stage: Stage) -> None:
    mark, other = await label(stage, "garden"), await label(stage, "lawn")
    await many_labelled(stage, mark, documents_module.AT_ONCE + 1)
    await stage.create("apart", label_ids=[other.id])
    await asyncio.gather(*(rename(stage, mark, name) for name in ("yard", "court", "patio")))
    (found,) = (
        each.name
        for each in (await stage.labels.ListLabels(labels_pb2.ListLabelsRequest(), metadata=stage.ada.metadata)).labels
        if each.id == mark.id
    )

    async def renamed() -> bool:
        return await documents_with(stage, found) == documents_module.AT_ONCE + 1

    await eventually(renamed, timeout_s=30)
    assert await documents_with(stage, "lawn") == 1
    await stage.labels.DeleteLabel(labels_pb2.DeleteLabelRequest(id=mark.id), metadata=stage.ada.metadata)

    async def forgotten() -> bool:
        return not await documents_with(stage, found)

    await eventually(forgotten, timeout_s=30)
    connection = await asyncpg.connect(stage.database_url)

    async def worked_off() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM stale_documents")

    await eventually(worked_off)
    await connection.close()


async def test_dying_while_documents_are_made_anew_loses_no_rename(
    make_database: MakeDatabase,
) -> None:
    database = await Database.connect(await make_database("tasks"), size=2)
    workspace_id, label_id = uuid7(), uuid7()
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO labels SELECT $1, $2, 'garden', 'garden', '', $1, now(), now(), 1", workspace_id, label_id
        )
        await connection.execute(
            "INSERT INTO tasks (workspace_id, id, title, description, status, priority, assignee_ids, created_by,"
            " created_at, updated_at, version, label_ids) SELECT $1, gen_random_uuid(), 'one', '', 'todo', 'none',"
            " '{}', $1, now(), now(), 1, ARRAY[$2::uuid] FROM generate_series(1, $3::int)",
            workspace_id,
            label_id,
            2 * documents_module.AT_ONCE + 1,
        )
    async with database.transaction() as work:
        await documents_module.write_of_label(work, workspace_id=workspace_id, label_id=label_id)
    await make_anew(database, pieces.next_of_note, pieces.go_on_with_note)
    async with database.connection() as connection:
        query = "SELECT count(*) FROM search_documents WHERE document @@ to_tsquery('simple', 'garden')"
        assert await connection.fetchval(query) == 2 * documents_module.AT_ONCE + 1
    await database.close()


async def test_a_search_that_breaks_the_contract_is_refused(stage: Stage) -> None:
    for fields in ({"q": ""}, {"q": "x" * 501}, {"q": "x", "page_size": 201}, {"q": "x", "filter": "nonsense"}):
        with pytest.raises(InvalidArgument):
            await search(stage, **fields)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        await search(stage, "x", workspace_id=str(stage.grace.workspace_id))


async def test_a_search_with_a_filter_finds_what_a_list_with_it_does(stage: Stage) -> None:
    urgent = await label(stage, "Urgent")
    await stage.create("rose 1", priority="TASK_PRIORITY_HIGH", label_ids=[urgent.id], category="garden")
    await stage.create("rose 2", priority="TASK_PRIORITY_LOW", assignee_ids=[str(stage.ada.id)], category="house")
    await stage.create("rose 3", category="garden", due_on="2026-11-25")
    here = {"workspace_id": str(stage.ada.workspace_id)}
    # Pairs have one shape, and values of their own.
    for text in (
        *("category = garden", "category = house"),
        *("priority IN (high, low)", "priority IN (low, none)"),
        *("label = urgent", "label = nothing", "title : 1 OR title : 2", "title : 3 OR title : 4"),
        *("assignee = me", f"assignee = {stage.grace.id}", "due < 2026-11-26", "due < 2026-11-25"),
        *("NOT (category : gar AND label IS NULL)", "due = null", "priority >= high"),
    ):
        request = tasks_pb2.ListTasksRequest(filter=text)
        listed = (await stage.tasks.ListTasks(request, metadata=stage.ada.metadata)).tasks
        expected = sorted(task.title for task in listed)
        for q, within in (("rose", {}), ("ros", here), ("rose -lily ", here)):
            assert sorted(await titles(stage, q, filter=text, **within)) == expected, (text, q)


async def test_each_way_to_the_newest_matches_finds_the_same(stage: Stage) -> None:
    for number in range(24):
        title = ("Prune roses", "Water roses", "Mow")[number % 3]
        await stage.create(f"{title} {number}", category="garden" if number % 2 else "")
    database = await Database.connect(stage.database_url, size=1)
    where = filter_of("category = garden", Context(datetime.now(UTC), "UTC", stage.ada.id), {}, {})
    for text, only in (("roses", None), ("roses", where), ("roses -water ", where), ("mow 5", where), ("weed", None)):
        found = []
        for way in (
            Way(),
            *(Way(by_filter, newest) for by_filter in (False, True) for newest in (0, 3, 99)),
        ):
            query = page_query(Asked(text), only, None, None, way)
            rows = await database.fetch(query, user_id=stage.ada.id, limit=30)
            found.append([(row["id"], row["score"]) for row in rows])
        assert all(each == found[0] for each in found)
        assert bool(found[0]) == (text != "weed")
    await database.close()
