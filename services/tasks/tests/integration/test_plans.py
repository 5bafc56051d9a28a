"""Lists, filters, searches and boards are served by indexes, however many tasks there are (see `docs/queries.md`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from plans import Explainer, connect, plan_all
from rota_chassis.clock import SystemClock
from rota_chassis.filters.literals import Context
from rota_tasks.search import store as search
from rota_tasks.search.domain import RANKED
from rota_tasks.tasks import listing
from rota_tasks.tasks.filtering import filter_of
from rota_tasks.tasks.ordering import order_of
from workspace import Workspace

if TYPE_CHECKING:
    from rota_chassis.testing.service_plugin import MakeDatabase


@pytest.mark.parametrize("tasks", [30_000, pytest.param(200_000, marks=pytest.mark.large)])
async def test_no_hot_query_reads_a_whole_table(make_database: MakeDatabase, tasks: int) -> None:
    connection = await connect(await make_database("tasks"))
    workspace = Workspace(tasks)
    await workspace.fill(connection)
    planned = await plan_all(connection, workspace, runs=1)
    await connection.close()
    whole = {name: each.whole_tables() for name, queries in planned.items() for each in queries if each.whole_tables()}
    assert whole == {}
    by_index = {
        'filter `title:"nowhere"`': "tasks_title_trigrams",
        'search `meeting`, filter `title:"nowhere"`': "tasks_title_trigrams",
        "filter `assignee = {nobody}`": "tasks_assignees",
    }
    for name, index in by_index.items():
        assert index in {node.get("Index Name") for _, node in planned[name][-1].nodes()}, name
    assert len(planned) > 50


async def test_a_search_by_filter_ranks_the_newest_that_pass_and_goes_no_further(make_database: MakeDatabase) -> None:
    connection = await connect(await make_database("tasks"))
    workspace = Workspace(10 * RANKED)
    await workspace.fill(connection)
    reader = Explainer(connection, runs=1)
    asked = {"user_id": workspace.users[0], "limit": 50, "after": None, "workspace_id": None}
    where = filter_of("status = todo", Context(SystemClock().now()), {})
    # All have the word once, so the newest of them are the best.
    found = await search.page(reader, **asked, words="meeting", where=where)
    gone_through = [node for _, node in reader.planned[-1].nodes() if node.get("CTE Name") == "gone_through"]
    listed = await listing.page(reader, **asked, order=order_of(""), where=where, favourite=False)
    await connection.close()
    assert [each.task.id for each in found] == [task.id for task, _ in listed]
    assert gone_through[0]["Actual Rows"] == RANKED
