"""What hardly any task has is found by an index, and that finds what looking at each task would."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import Explainer, connect
from rota.tasks.v1 import search_pb2, tasks_pb2
from rota_chassis.clock import SystemClock
from rota_chassis.filters.ast import And, Contains, Field, Kind, Not, OneOf, Or
from rota_chassis.filters.literals import Context
from rota_chassis.filters.predicate import predicate
from rota_tasks.tasks import filtering, listing, rare
from rota_tasks.tasks.ordering import order_of

if TYPE_CHECKING:
    import asyncpg
    from conftest import Stage
    from rota_chassis.filters.ast import Filter
    from rota_chassis.testing.service_plugin import MakeDatabase

USER = uuid4()
HOME, OFFICE, OTHERS = uuid4(), uuid4(), uuid4()
TITLE = filtering.SCHEMA["title"]
_TASKS = """
INSERT INTO tasks (workspace_id, id, title, description, status, priority, assignee_ids, created_by, created_at,
    updated_at, version, label_ids)
SELECT workspace_id, id, title, '', 'todo', 'none', '{}', $3, now(), now(), 1, '{}'
FROM unnest($1::uuid[], $2::uuid[], $4::text[]) AS made (workspace_id, id, title)
"""
# The first and all of another workspace hold $1 and $2, the others $2 and $3.
_HOLD = """
UPDATE tasks SET assignee_ids = held, watcher_ids = held, label_ids = held
FROM (
    SELECT id, CASE WHEN row_number() OVER (ORDER BY id) = 1 OR workspace_id = $4 THEN ARRAY[$1, $2]::uuid[]
        ELSE ARRAY[$2, $3]::uuid[] END AS held
    FROM tasks
) AS made
WHERE made.id = tasks.id
"""
# What folding case or cutting into pieces might get wrong: signs of LIKE and of regular expressions, letters of which
# the other case is longer or several, marks that combine, what takes more bytes, the sign between trigrams.
CHARACTERS = "abAB iI\\%_.()ß\u1e9e\u0130\u0131Σ\u03c3\u03c2éE\u0301\U0001f600漢字\n\x01\x02"


async def _user_of(connection: asyncpg.Connection, *workspaces: UUID) -> None:
    await connection.executemany(
        "INSERT INTO memberships (workspace_id, user_id, role, version, removed) VALUES ($1, $2, 'member', 1, false)",
        [(each, USER) for each in workspaces],
    )


async def _write(connection: asyncpg.Connection, written: list[tuple[UUID, str]]) -> None:
    ids = [UUID(int=number + 1) for number in range(len(written))]
    await connection.execute(_TASKS, [each[0] for each in written], ids, USER, [each[1] for each in written])


@st.composite
def _sought(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Titles, and texts: parts of them, some in the other case, and others."""
    alphabet = st.sampled_from(CHARACTERS)
    found = draw(st.lists(st.text(alphabet, max_size=20), min_size=1, max_size=8))
    texts = [draw(st.text(alphabet, min_size=5, max_size=8))]
    for each in found:
        start = draw(st.integers(0, 8))
        part = each[start : start + draw(st.integers(5, 12))]
        texts += [way(part) for way in (str, str.lower, str.upper, str.swapcase) if len(way(part)) >= rare.SHORTEST]
    return found, texts


async def test_the_index_finds_the_tasks_whose_titles_have_a_text(make_database: MakeDatabase) -> None:
    connection = await connect(await make_database("tasks"))
    await _user_of(connection, HOME, OFFICE)
    # So many that it is worth to read the index.
    for workspace_id in (HOME, OFFICE):
        await _write_to(connection, workspace_id, ["none"] * 5_000)
    await connection.execute("VACUUM (ANALYZE) tasks")

    async def check(of_tasks: list[str], texts: list[str]) -> None:
        await connection.execute("DELETE FROM tasks WHERE id < $1", UUID(int=1_000))
        places = (HOME, OFFICE, OTHERS)
        written = [(places[number % 3], title) for number, title in enumerate([*of_tasks, *of_tasks[:-1]])]
        await _write(connection, written)
        for text in texts:
            contains = Contains(TITLE, text)
            holds = predicate(contains)
            expected = [
                UUID(int=number + 1)
                for number, (place, title) in enumerate(written)
                if place != OTHERS and holds({"title": title})
            ]
            explainer = Explainer(connection, runs=1)
            shown = await _listed(explainer, rare.with_rare(contains, [contains]))
            assert sorted(shown) == expected, (text, of_tasks)
            used = {node.get("Index Name") for _, node in explainer.planned[0].nodes()}
            assert "tasks_title_trigrams" in used

    loop = asyncio.get_running_loop()

    @settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(_sought())
    def agree(sought: tuple[list[str], list[str]]) -> None:
        asyncio.run_coroutine_threadsafe(check(*sought), loop).result(30)

    try:
        await asyncio.to_thread(agree)
    finally:
        await connection.close()


async def _listed(reader: Any, where: Filter) -> list[UUID]:
    given = {"after": None, "order": order_of(""), "favourite": False, "workspace_id": None}
    return [task.id for task, _ in await listing.page(reader, user_id=USER, limit=100, where=where, **given)]


async def test_a_text_is_rare_by_the_oldest_and_the_newest_titles(make_database: MakeDatabase) -> None:
    connection = await connect(await make_database("tasks"))
    await _user_of(connection, HOME)
    names = ["old chair"] * 4 + ["table"] * 2_000 + ["new chair"] + ["table"] * 100 + ["armchair"]
    await _write(connection, [(HOME, name) for name in names])
    await _write_to(connection, OTHERS, ["chaise longue"] * 10)
    reader = Explainer(connection, runs=1)

    async def sought(text: str, workspace_id: UUID | None = None) -> list[str]:
        where = filtering.filter_of(text, Context(SystemClock().now(), me=USER), {})
        found = await rare.parts(reader, where, user_id=USER, workspace_id=workspace_id)
        return sorted(each.text for each in found if isinstance(each, Contains))

    assert await sought('title : "chair"') == []
    assert await sought('title : "OLD CHAIR" AND title : "ARMCHAIR" AND title : "table"') == ["ARMCHAIR"]
    assert await sought('title : "new chair"', HOME) == ["new chair"]
    assert await sought('title : "chaise"') == ["chaise"]
    # Where no workspace is the user's, nothing is.
    assert await sought('title : "chaise"', OTHERS) == []
    # Shorter ones need have no whole trigram; and what is not asked of each task leaves others.
    asked = len(reader.planned)
    assert await sought('title : "noth"') == []
    assert await sought('NOT title : "nothing" AND (title : "nothing" OR status = todo)') == []
    assert await sought('description : "nothing"') == []
    assert len(reader.planned) == asked
    await connection.close()


async def _write_to(connection: asyncpg.Connection, workspace_id: UUID, names: list[str]) -> None:
    await connection.execute(_TASKS, [workspace_id] * len(names), [uuid4() for _ in names], USER, names)


@pytest.mark.parametrize("field", ["assignee", "watcher", "living_label"])
async def test_what_few_tasks_hold_is_found_by_index_as_by_looking_at_each(
    make_database: MakeDatabase, field: str
) -> None:
    connection = await connect(await make_database("tasks"))
    await _user_of(connection, HOME)
    await _write_to(connection, HOME, ["one"] * 1_000)
    await _write_to(connection, OTHERS, ["another's"] * 10)
    few, many, none = uuid4(), uuid4(), uuid4()
    await connection.execute(_HOLD, few, many, uuid4(), OTHERS)
    reader = Explainer(connection, runs=1)
    named = {"assignee": filtering.SCHEMA["assignee"], "watcher": filtering.SCHEMA["watcher"]}.get(field, rare.LIVING)
    for wanted, is_rare in (((few,), True), ((many,), False), ((none,), True), ((none, few), True), ((), True)):
        where = OneOf(named, wanted)
        found = await rare.parts(reader, where, user_id=USER, workspace_id=None)
        assert list(found) == ([where] if is_rare else []), wanted
        assert await _listed(reader, rare.with_rare(where, [where])) == await _listed(reader, where)
    await connection.close()


def test_only_what_every_task_must_have_is_put_in_another_way() -> None:
    contains = Contains(TITLE, "nothing")
    by_index = OneOf(Field("rare_in_title", Kind.NAMES), ("nothing",))
    assert rare.with_rare(And((contains, Not(contains), Or((contains,)))), [contains]) == And(
        (by_index, Not(contains), Or((contains,)))
    )
    assert rare.with_rare(contains, []) == contains


@pytest.mark.parametrize("order", ["", "title desc", "due asc"])
async def test_a_list_finds_rare_texts_in_any_order_and_by_pages(stage: Stage, order: str) -> None:
    for number in range(5):
        await stage.create(f"Order the {number}th ßtrange Thing", due_at=None)
    await stage.create("another")
    request = tasks_pb2.ListTasksRequest(
        filter='title : "ßTRANGE thing" AND status = todo', order_by=order, page_size=2
    )
    found, pages = [], 0
    while True:
        answer = await stage.tasks.ListTasks(request, metadata=stage.ada.metadata)
        found += [task.title for task in answer.tasks]
        pages += 1
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert sorted(found) == [f"Order the {number}th ßtrange Thing" for number in range(5)]
    assert pages == 3


async def test_a_search_finds_words_in_tasks_with_a_rare_text_in_the_title(stage: Stage) -> None:
    await stage.create("Water the orchids", description="in the meeting")
    for number in range(3):
        await stage.create(f"Water plant {number}", description="in the meeting")
    for text, found in {"ORCHID": ["Water the orchids"], "nowhere": []}.items():
        request = search_pb2.SearchTasksRequest(q="meeting", filter=f'title : "{text}"')
        answer = await stage.search.SearchTasks(request, metadata=stage.ada.metadata)
        assert [each.task.title for each in answer.results] == found
