"""Searches in the language that a user has set, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import comments_pb2, projects_pb2, search_pb2
from rota_chassis.errors import InvalidArgument
from rota_chassis.ids import uuid7
from rota_chassis.postgres.database import Database
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.metrics import set_aside
from rota_chassis.testing.waiting import eventually
from rota_tasks.rebuild import rebuild
from rota_tasks.search import documents, languages, pieces, refreshing
from searching import make_anew
from sqlalchemy import text

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.services import User


async def found(stage: Stage, q: str, *, user: User | None = None, **fields: Any) -> list[str]:
    request = search_pb2.SearchTasksRequest(q=q, **fields)
    answer = await stage.search.SearchTasks(request, metadata=(user or stage.ada).metadata)
    return sorted(each.task.title for each in answer.results)


async def speak(stage: Stage, language: str | None, *, user: User | None = None) -> search_pb2.SearchSettings:
    request = search_pb2.SetSearchSettingsRequest(language=language)
    return (await stage.search.SetSearchSettings(request, metadata=(user or stage.ada).metadata)).settings


async def is_ready(stage: Stage, *, user: User | None = None) -> bool:
    request = search_pb2.GetSearchSettingsRequest()
    return (await stage.search.GetSearchSettings(request, metadata=(user or stage.ada).metadata)).settings.ready


async def fluent(stage: Stage, language: str, *, user: User | None = None) -> None:
    await speak(stage, language, user=user)
    await eventually(lambda: is_ready(stage, user=user), timeout_s=30)


async def test_without_a_language_words_are_found_as_they_are_written(stage: Stage) -> None:
    await stage.create("Planting roses")
    assert await found(stage, "plants now") == []
    settings = (
        await stage.search.GetSearchSettings(search_pb2.GetSearchSettingsRequest(), metadata=stage.ada.metadata)
    ).settings
    assert (settings.HasField("language"), settings.ready) == (False, True)


async def test_with_a_language_every_form_of_a_word_finds_every_other_and_filling_words_say_nothing(
    stage: Stage,
) -> None:
    await stage.create("Planting roses")
    await stage.create("Water", description="The planted rose")
    await stage.create("Unplanned")
    await fluent(stage, "en")
    assert await found(stage, "the plants and a rose ") == ["Planting roses", "Water"]
    # The last word may still be typed, and be the beginning of a word that is none yet.
    assert await found(stage, "plant ro") == ["Planting roses", "Water"]
    assert await found(stage, "the") == ["Water"]
    assert await found(stage, "rose -planted") == []
    request = search_pb2.SearchTasksRequest(q="plants ")
    answer = await stage.search.SearchTasks(request, metadata=stage.ada.metadata)
    marked = {each.task.title: [highlight.html for highlight in each.highlights] for each in answer.results}
    assert marked == {"Planting roses": ["<em>Planting</em> roses"], "Water": ["<em>planted</em> rose"]}


async def test_what_is_written_later_is_found_too_in_comments_as_well(stage: Stage) -> None:
    await fluent(stage, "de")
    task = await stage.create("Balkon")
    request = comments_pb2.CreateCommentRequest(task_id=task.id, text="Die Pflanzen brauchen Wasser")
    await stage.comments.CreateComment(request, metadata=stage.ada.metadata)
    assert await found(stage, "Pflanze ") == ["Balkon"]


async def test_the_language_of_one_user_leaves_the_searches_of_others_as_they_are(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    workspace_id = str(stage.ada.workspace_id)
    await stage.create("Planting roses")
    await fluent(stage, "en")
    assert await found(stage, "plants ", user=stage.grace, workspace_id=workspace_id) == []
    assert await found(stage, "planting ", user=stage.grace, workspace_id=workspace_id) == ["Planting roses"]


async def test_no_language_any_more_means_words_as_they_are_written(stage: Stage) -> None:
    await stage.create("Planting roses")
    await fluent(stage, "en")
    assert not (await speak(stage, None)).HasField("language")
    assert await found(stage, "plants ") == []


async def test_a_language_that_nobody_knows_is_refused(stage: Stage) -> None:
    for language in ("", "english", "xx", "EN"):
        with pytest.raises(InvalidArgument):
            await speak(stage, language)


async def test_many_who_set_a_language_at_once_make_one_of_the_workspace(stage: Stage) -> None:
    await stage.create("Planting roses")
    await asyncio.gather(*(speak(stage, "en") for _ in range(20)))
    await eventually(lambda: is_ready(stage))
    connection = await asyncpg.connect(stage.database_url)
    try:
        assert await connection.fetch("SELECT language FROM search_languages") == [("english",)]
    finally:
        await connection.close()


async def test_documents_of_a_language_are_what_a_rebuild_gives(stage: Stage) -> None:
    task = await stage.create("Planting roses", description="Water them daily")
    await fluent(stage, "en")
    database = await Database.connect(stage.database_url, size=2)
    query = "SELECT document::text FROM search_documents"
    async with database.connection() as connection:
        before = await connection.fetchval(query)
        await connection.execute("UPDATE search_documents SET document = ''")
        await rebuild(database)
        assert await connection.fetchval(query) == before
    await database.close()
    assert "'plant'" in before, task


async def test_texts_of_many_words_in_many_languages_fit_a_document(stage: Stage) -> None:
    for language in languages.CONFIGURATIONS:
        await speak(stage, language)
    await fluent(stage, "ru")
    alphabet = [chr(first) for first in range(0x430, 0x450)]
    words = (a + b + c for a in alphabet for b in alphabet for c in alphabet)
    text = " ".join(words)[:50_000]
    task = await stage.create("Long", description=text)
    for _ in range(2):
        request = comments_pb2.CreateCommentRequest(task_id=task.id, text=text[:20_000])
        await stage.comments.CreateComment(request, metadata=stage.ada.metadata)
    assert await found(stage, text.split()[0] + " ") == ["Long"]


async def test_who_joins_a_workspace_brings_their_language_with_the_next_search(make_database: MakeDatabase) -> None:
    database = await Database.connect(await make_database("tasks"), size=2)
    own, other, user_id = uuid7(), uuid7(), uuid7()
    whose = {"own_workspace_id": own, "user_id": user_id}
    async with database.connection() as connection:
        join = "INSERT INTO memberships VALUES ($1, $2, 'member', 1, false)"
        await connection.execute(join, own, user_id)
        async with database.transaction() as work:
            await languages.set_language(work, **whose, language="en")
            await languages.begin(work, **whose)
        while await refreshing.prepare(database):
            pass
        assert await languages.setting_of(database, **whose) == languages.Setting("english")
        await connection.execute(join, other, user_id)
    assert await languages.setting_of(database, **whose) == languages.Setting("english", ready=False, missing=True)
    assert (await languages.setting_of(database, **whose, workspace_id=own)).in_effect == "english"
    assert (await languages.setting_of(database, **whose)).in_effect == languages.EXACT
    async with database.transaction() as work:
        await languages.begin(work, **whose)
    while await refreshing.prepare(database):
        pass
    assert await languages.setting_of(database, **whose) == languages.Setting("english")
    await database.close()


async def test_who_has_another_workspace_of_their_own_keeps_their_language(make_database: MakeDatabase) -> None:
    database = await Database.connect(await make_database("tasks"), size=2)
    left, own, user_id, another = uuid7(), uuid7(), uuid7(), uuid7()

    async def speaks(language: str | None, workspace_id: UUID, speaker: UUID = user_id) -> None:
        whose = {"own_workspace_id": workspace_id, "user_id": speaker}
        async with database.transaction() as work:
            await languages.set_language(work, **whose, language=language)
            await languages.begin(work, **whose)
        while await refreshing.prepare(database):
            pass

    async def setting(workspace_id: UUID, speaker: UUID = user_id) -> languages.Setting:
        return await languages.setting_of(database, own_workspace_id=workspace_id, user_id=speaker)

    async with database.connection() as connection:
        join = "INSERT INTO memberships VALUES ($1, $2, 'member', 1, $3)"
        await connection.execute(join, left, user_id, False)
        await connection.execute(join, left, another, False)
        await speaks("en", left)
        await speaks("de", left, another)
        await connection.execute("UPDATE memberships SET removed = true WHERE user_id = $1", user_id)
        await connection.execute(join, own, user_id, False)
    # The new one is prepared with the next search, the one that was left is none of theirs.
    assert await setting(own) == languages.Setting("english", ready=False, missing=True)
    async with database.transaction() as work:
        await languages.begin(work, own_workspace_id=own, user_id=user_id)
    while await refreshing.prepare(database):
        pass
    assert await setting(own) == languages.Setting("english")
    # What they set last is what they have, from a token of before as well; and nobody else has it.
    await asyncio.gather(speaks("fr", own), speaks("fr", left))
    await speaks("it", own)
    assert await setting(own) == await setting(left) == languages.Setting("italian")
    assert await setting(left, another) == languages.Setting("german")
    await speaks(None, own)
    assert await setting(own) == await setting(left) == languages.Setting()
    assert await setting(left, another) == languages.Setting("german")
    await database.close()


async def test_documents_are_made_anew_when_all_have_ended_who_may_not_know_the_language(
    make_database: MakeDatabase,
) -> None:
    database = await Database.connect(await make_database("tasks"), size=4)
    own, user_id = uuid7(), uuid7()
    whose = {"own_workspace_id": own, "user_id": user_id}
    async with database.connection() as early:
        await early.execute("INSERT INTO memberships VALUES ($1, $2, 'member', 1, false)", own, user_id)
        await early.execute("BEGIN")
        await early.execute("SELECT pg_current_xact_id()")
        async with database.transaction() as work:
            await languages.set_language(work, **whose, language="en")
            await languages.begin(work, **whose)
        # Seen, and then left alone.
        assert await refreshing.prepare(database)
        assert not await refreshing.prepare(database)
        assert not (await languages.setting_of(database, **whose)).ready
        await early.execute("COMMIT")
        assert await refreshing.prepare(database)
        assert (await languages.setting_of(database, **whose)).ready
    await database.close()


async def many_tasks(database: Database, workspace_id: UUID, count: int) -> None:
    """Tasks whose documents are empty still."""
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO tasks (workspace_id, id, title, description, status, priority, created_by, created_at,
                updated_at, version, label_ids, assignee_ids)
            SELECT $1, gen_random_uuid(), 'Planting', '', 'todo', 'none', $1, now(), now(), 1, '{}', '{}'
            FROM generate_series(1, $2)
            """,
            workspace_id,
            count,
        )
        await connection.execute("INSERT INTO search_documents SELECT workspace_id, id, '' FROM tasks")


async def test_dying_while_documents_are_made_anew_and_two_at_once_leave_none_out(make_database: MakeDatabase) -> None:
    database = await Database.connect(await make_database("tasks"), size=4)
    own, user_id = uuid7(), uuid7()
    whose = {"own_workspace_id": own, "user_id": user_id}
    await many_tasks(database, own, 2 * documents.AT_ONCE + 1)
    async with database.connection() as connection:
        await connection.execute("INSERT INTO memberships VALUES ($1, $2, 'member', 1, false)", own, user_id)
    async with database.transaction() as work:
        await languages.set_language(work, **whose, language="en")
        await languages.begin(work, **whose)
    assert await refreshing.prepare(database)
    await make_anew(database, pieces.next_of_language, pieces.go_on_with_language)
    async with database.connection() as connection:
        query = "SELECT count(*) FROM search_documents WHERE document @@ to_tsquery('english', 'plants')"
        assert await connection.fetchval(query) == 2 * documents.AT_ONCE + 1
    await database.close()


async def test_the_document_of_a_new_task_is_what_its_rows_give(stage: Stage) -> None:
    for language in ("de", "en"):
        await fluent(stage, language)
    project = (
        await stage.projects.CreateProject(
            projects_pb2.CreateProjectRequest(name="Home", key="HOME"), metadata=stage.ada.metadata
        )
    ).project
    renamed = projects_pb2.UpdateProjectRequest(id=project.id, key="AWAY", update_mask=FieldMask(paths=["key"]))
    await stage.projects.UpdateProject(renamed, metadata=stage.ada.metadata)
    task = await stage.create("Planting roses", description="The planted rose.", project_id=project.id)
    alone = await stage.create("Planting trees")
    database = await Database.connect(stage.database_url)
    made = statement(text("SELECT CAST(document AS text) AS document FROM search_documents ORDER BY task_id"))
    before = await database.fetch(made)
    async with database.transaction() as work:
        ids = [UUID(task.id), UUID(alone.id)]
        await documents.write(work, workspace_id=stage.ada.workspace_id, task_ids=ids)
    assert [row["document"] for row in await database.fetch(made)] == [row["document"] for row in before]
    assert "'home':" in before[0]["document"]
    assert await found(stage, "AWAY-1 plants") == await found(stage, "HOME-1 planted") == ["Planting roses"]
    await database.close()


async def test_a_task_that_is_created_while_a_language_is_begun_has_it_or_is_made_anew(stage: Stage) -> None:
    async def create(number: int) -> None:
        await stage.create(f"Planting rose {number}")

    await asyncio.gather(*(create(number) for number in range(20)), fluent(stage, "en"), *map(create, range(20, 60)))
    await eventually(lambda: is_ready(stage), timeout_s=30)
    request = search_pb2.SearchTasksRequest(q="plants", page_size=100)
    answer = await stage.search.SearchTasks(request, metadata=stage.ada.metadata)
    assert len(answer.results) == 60


async def test_a_document_that_cannot_be_made_stays_as_it_was_and_the_others_are_made(
    make_database: MakeDatabase,
) -> None:
    database = await Database.connect(await make_database("tasks"), size=2)
    own, user_id = uuid7(), uuid7()
    whose = {"own_workspace_id": own, "user_id": user_id}
    await many_tasks(database, own, documents.AT_ONCE + 2)
    async with database.connection() as connection:
        await connection.execute("INSERT INTO memberships VALUES ($1, $2, 'member', 1, false)", own, user_id)
        # More words than a document may have, in the last of the first batch and in the last of all.
        await connection.execute(
            """
            UPDATE tasks SET description = (SELECT string_agg('word' || n, ' ') FROM generate_series(1, 200000) n)
            WHERE id IN (
                (SELECT id FROM tasks ORDER BY id OFFSET $1 LIMIT 1), (SELECT id FROM tasks ORDER BY id DESC LIMIT 1))
            """,
            documents.AT_ONCE - 1,
        )
    async with database.transaction() as work:
        await languages.set_language(work, **whose, language="en")
        await languages.begin(work, **whose)
    before = set_aside("search_document")
    while await refreshing.prepare(database):
        pass
    assert set_aside("search_document") - before == 2
    assert (await languages.setting_of(database, **whose)).ready
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM search_documents WHERE document <> ''") == (
            documents.AT_ONCE
        )
    await database.close()


async def test_a_language_that_postgresql_does_not_have_is_forgotten_and_the_others_are_prepared(
    make_database: MakeDatabase,
) -> None:
    database = await Database.connect(await make_database("tasks"), size=2)
    own, user_id = uuid7(), uuid7()
    whose = {"own_workspace_id": own, "user_id": user_id}
    await many_tasks(database, own, 1)
    async with database.connection() as connection:
        await connection.execute("INSERT INTO memberships VALUES ($1, $2, 'member', 1, false)", own, user_id)
        await connection.execute("INSERT INTO search_languages VALUES ($1, 'klingon')", own)
        await connection.execute("INSERT INTO search_settings VALUES ($1, $2, 'klingon')", own, uuid7())
    async with database.transaction() as work:
        await languages.set_language(work, **whose, language="en")
        await languages.begin(work, **whose)
    before = set_aside("search_language")
    while await refreshing.prepare(database):
        pass
    assert set_aside("search_language") - before == 1
    assert await languages.setting_of(database, **whose) == languages.Setting("english")
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM search_settings") == 1
    await database.close()
