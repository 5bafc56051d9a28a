"""Lists, filters, searches and boards are served by indexes, however many tasks there are (see `docs/queries.md`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from plans import connect, plan_all
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
