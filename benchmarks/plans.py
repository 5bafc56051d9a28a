"""The plans that PostgreSQL makes for the hot queries of the tasks service, in a workspace with many tasks.

Prints them as `docs/queries.md`; ends with 1 when one of them reads a whole large table. Starts a server of its own.
Usage: python benchmarks/plans.py [--tasks 200000] > docs/queries.md
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
from rota_chassis.filters.literals import Context
from rota_chassis.postgres.migrations import migrate
from rota_chassis.postgres.pool import prepare_connection
from rota_chassis.settings import database_url
from rota_chassis.testing import servers
from rota_tasks.boards import pages
from rota_tasks.boards.domain import Section, State
from rota_tasks.history import store as history
from rota_tasks.search import store as search
from rota_tasks.sync import store as sync
from rota_tasks.tasks import listing, rare
from rota_tasks.tasks import store as tasks
from rota_tasks.tasks.domain import Status
from rota_tasks.tasks.filtering import filter_of, labels_named, with_labels
from rota_tasks.tasks.ordering import order_of
from rota_tasks.trash import store as trash
from workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rota_chassis.filters.ast import Filter
    from rota_chassis.postgres.statements import Statement

LARGE = frozenset({"tasks", "search_documents", "events", "trash", "favourite_changes", "task_keys"})
"""Tables that have a row for each task, or each deleted one."""
PAGE = 51
FILTERS = (
    "status = todo",
    "status = done AND progress = 0",
    "priority >= high AND due < now+7d",
    "due < now",
    "start >= today",
    "due = null",
    "assignee = me",
    "assignee = me AND status = in_progress",
    "assignee = {nobody}",
    "watcher = me",
    "created_by = me",
    "label_id = {common_label}",
    "label_id = {rare_label}",
    "label_id = {unused_label}",
    "project_id = {project}",
    "project_id = {large_project} AND status = todo",
    "section_id = {section}",
    "parent_id = {parent}",
    'key = "P0-100"',
    "is_blocked = true",
    "blocked_by = {parent}",
    "updated_at > now-1d",
    'title:"basil"',
    'title:"garden 777"',
    'title:"nowhere"',
    'title = "nowhere"',
    "status != done AND (assignee = me OR created_by = me)",
)
ORDERS = ("updated_at", "due", "due_at", "start", "start_at", "deadline_at", "priority", "title")
WORDS = ("meeting", "basil", "77777", "review basil", "meeting -basil", "nowhere", "meet", '"in the meeting"', "777")


@dataclass
class Planned:
    """One query: its plan as PostgreSQL explains it, how many rows it gave, and how long it took at best."""

    plan: Mapping[str, Any]
    rows: int
    ms: float

    def whole_tables(self) -> set[str]:
        """The large tables that it reads from one end to the other."""
        return {
            node["Relation Name"]
            for _, node in self.nodes()
            if node["Node Type"] == "Seq Scan" and node["Actual Loops"] and node["Relation Name"] in LARGE
        }

    def nodes(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The nodes with their depth, those that ran, without what is read for each row shown."""

        def below(node: Mapping[str, Any], depth: int, *, shown: bool) -> Iterator[tuple[int, Mapping[str, Any]]]:
            if not node["Actual Loops"]:
                return
            yield depth, node
            for part in node.get("Plans", ()):
                is_subplan = part.get("Parent Relationship") == "SubPlan"
                if not (shown and is_subplan):
                    is_shown = shown and node["Node Type"] in ("Sort", "Limit", "Result", "Incremental Sort")
                    yield from below(part, depth + 1, shown=is_shown)

        yield from below(self.plan, 0, shown=True)

    def lines(self) -> Iterator[str]:
        """The plan, a line for each node."""
        for depth, node in self.nodes():
            words = [node["Node Type"]]
            words += [f"using {node['Index Name']}"] if "Index Name" in node else []
            words += [f"on {node['Relation Name']}"] if "Relation Name" in node else []
            gone = node.get("Rows Removed by Filter", 0)
            words.append(
                f"({node['Actual Rows'] * node['Actual Loops']:.0f} rows{f', {gone} left out' if gone else ''})"
            )
            yield "  " * depth + " ".join(words)


@dataclass
class Explainer:
    """A reader that keeps the plan of each query it is asked, on a connection that plans each for its values."""

    connection: asyncpg.Connection
    runs: int = 2
    planned: list[Planned] = field(default_factory=list)

    async def fetch(self, asked: Statement, **parameters: Any) -> list[asyncpg.Record]:
        """Every row."""
        arguments, times, rows = asked.arguments(parameters), [], []
        for _ in range(self.runs):
            began = time.perf_counter()
            rows = await self.connection.fetch(asked.sql, *arguments)
            times.append((time.perf_counter() - began) * 1e3)
        (plan,) = await self.connection.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {asked.sql}", *arguments
        )
        self.planned.append(Planned(plan["Plan"], len(rows), min(times)))
        return rows

    async def fetch_one(self, asked: Statement, **parameters: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        rows = await self.fetch(asked, **parameters)
        return rows[0] if rows else None

    async def fetch_value(self, asked: Statement, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        row = await self.fetch_one(asked, **parameters)
        return None if row is None else row[0]


async def connect(url: str) -> asyncpg.Connection:
    """A connection for `plan_all`."""
    settings = {"random_page_cost": "1.1", "plan_cache_mode": "force_custom_plan"}
    connection = await asyncpg.connect(url, server_settings=settings, command_timeout=120)
    await prepare_connection(connection)
    return connection


async def plan_all(connection: asyncpg.Connection, workspace: Workspace, *, runs: int = 2) -> dict[str, list[Planned]]:
    """The plans of the hot queries by what is asked, as the service asks it."""
    found: dict[str, list[Planned]] = {}
    explainer = Explainer(connection, runs)
    for name, ask in _hot(workspace).items():
        explainer.planned = found[name] = []
        await ask(explainer)
    return found


async def _filter(reader: Any, text: str, context: Context) -> Filter | None:
    """A filter as the service looks it up, all labels being of the workspace."""
    where = filter_of(text, context, {})
    if where is None:
        return None
    where = with_labels(where, {each: each.values for each in labels_named(where)})
    return rare.with_rare(where, await rare.parts(reader, where, user_id=context.me, workspace_id=None))


def _hot(workspace: Workspace) -> dict[str, Any]:
    me, middle = workspace.users[0], workspace.task_id(workspace.tasks // 2)
    among = {"workspace_id": workspace.id, "project_id": workspace.projects[0]}
    context = Context(datetime.now(UTC), UTC, me)
    ids = {
        "common_label": workspace.labels[1],
        "rare_label": workspace.labels[10],
        "unused_label": workspace.labels[-1],
        "project": workspace.projects[5],
        "large_project": workspace.projects[0],
        "section": workspace.section,
        "nobody": UUID(int=1),
        "parent": workspace.task_id(1),
    }

    def listed(*, after: Any = None, **filters: Any) -> Any:
        nothing = dict.fromkeys(("workspace_id", "project_id", "status", "assignee_id", "label_id"))
        all_filters = nothing | {"favourite": False} | filters
        return lambda reader: tasks.page(reader, user_id=me, limit=PAGE, before=after, filters=all_filters)

    def found(text: str = "", order: str = "", after: Any = None, *, favourite: bool = False) -> Any:
        async def ask(reader: Any) -> Any:
            where = await _filter(reader, text.format(**ids), context)
            among = {"where": where, "favourite": favourite, "workspace_id": None}
            return await listing.page(reader, user_id=me, limit=PAGE, after=after, order=order_of(order), **among)

        return ask

    def searched(words: str, text: str = "") -> Any:
        async def ask(reader: Any) -> Any:
            among = {"where": await _filter(reader, text.format(**ids), context), "workspace_id": None}
            return await search.page(reader, user_id=me, words=words, **among, limit=PAGE, after=None)

        return ask

    def board(kind: type[Any], keys: list[pages.Key], after: Any = None) -> Any:
        return lambda reader: pages.pages(reader, kind, keys, user_id=me, **among, groups={}, after=after, limit=21)

    async def subtasks(reader: Explainer) -> None:
        whole = await tasks.get(reader, user_id=me, task_id=workspace.task_id(1))
        assert whole is not None
        await tasks.subtasks(reader, whole, user_id=me, limit=PAGE, after=None)

    def changes(xid: str, position: int) -> Any:
        since = {
            "workspace_id": workspace.id,
            "user_id": me,
            "hidden": [],
            "xid": xid,
            "position": position,
            "kind": "",
        }
        return lambda reader: reader.fetch(sync.TOUCHED, **since, id=UUID(int=0), limit=PAGE)

    bare: list[pages.Key] = [(None, status) for status in Status]
    in_sections: list[pages.Key] = [(None, None), (workspace.section, None)]
    a_task = workspace.task_id(workspace.tasks // 2)
    soon = listing.Cursor(datetime.now(UTC) + timedelta(hours=1), middle)
    return {
        "task": lambda reader: tasks.get(reader, user_id=me, task_id=a_task),
        "task as of a time": lambda reader: tasks.get_as_of(reader, user_id=me, task_id=a_task, time=datetime.now(UTC)),
        "list": listed(),
        "list, a page in the middle": listed(after=middle),
        "list of a project": listed(project_id=workspace.projects[5]),
        "list of a status": listed(status=Status.IN_PROGRESS),
        "list of favourites": found(favourite=True),
        **{f"filter `{text}`": found(text) for text in FILTERS},
        **{f"order by `{each} {way}`": found(order=f"{each} {way}") for each in ORDERS for way in ("asc", "desc")},
        "order by `due asc`, a page in the middle": found(order="due asc", after=soon),
        "filter `assignee = me`, order by `due asc`": found("assignee = me", "due asc"),
        "filter `status = todo`, order by `priority desc`": found("status = todo", "priority desc"),
        "filter `label_id = {rare_label}`, order by `updated_at desc`": found(
            "label_id = {rare_label}", "updated_at desc"
        ),
        **{f"search `{words}`": searched(words) for words in WORDS},
        "search `meeting`, filter `status = todo`": searched("meeting", "status = todo"),
        "search `review basil`, filter `status = todo`": searched("review basil", "status = todo"),
        "search `meeting`, filter `assignee = me`": searched("meeting", "assignee = me"),
        "search `basil`, filter `label_id = {rare_label}`": searched("basil", "label_id = {rare_label}"),
        'search `meeting`, filter `title:"garden 777"`': searched("meeting", 'title:"garden 777"'),
        'search `meeting`, filter `title:"nowhere"`': searched("meeting", 'title:"nowhere"'),
        "subtasks of a task with many": subtasks,
        "board by status": board(State, bare),
        "board by status, the next page of a column": board(State, [(None, Status.TODO)], ("l01900000", middle)),
        "board by section": board(Section, in_sections),
        "board by section, the next page of a column": board(Section, in_sections[1:], ("l01900000", middle)),
        "changes since the beginning": changes("0", 0),
        "changes since a while": changes("5", workspace.tasks // 2),
        "changes since a moment": changes("9000000000", 0),
        "trash": lambda reader: trash.page(reader, user_id=me, limit=PAGE, before=None, workspace_id=None),
        "history of a task": lambda reader: history.page(
            reader, user_id=me, workspace_id=workspace.id, task_id=a_task, limit=PAGE, before=None
        ),
    }


async def run(number: int) -> int:
    """Fill, plan and print; how many queries read a whole table."""
    with servers.server_folder() as folder:
        async with servers.running(servers.postgres(folder)) as server:
            await migrate("tasks", server.url, database="tasks")
            connection = await connect(database_url(server.url, "tasks"))
            workspace = Workspace(number)
            began = time.monotonic()
            await workspace.fill(connection)
            print(f"filled in {time.monotonic() - began:.0f} s", file=sys.stderr)
            planned = await plan_all(connection, workspace, runs=3)
            await connection.close()
    print(_HEAD.format(tasks=f"{number:,}"))
    print("| query | rows | blocks | ms |\n|---|---|---|---|")
    for name, queries in planned.items():
        blocks = sum(each.plan.get("Shared Hit Blocks", 0) + each.plan.get("Shared Read Blocks", 0) for each in queries)
        ms = sum(each.ms for each in queries)
        print(f"| {name} | {queries[-1].rows} | {blocks} | {ms:.1f} |")
    print("\n## Plans")
    for name, queries in planned.items():
        print(f"\n### {name.capitalize() if not name.startswith('`') else name}\n\n```")
        print("\n\n".join("\n".join(each.lines()) for each in queries))
        print("```")
    slow = {name for name, queries in planned.items() for each in queries if each.whole_tables()}
    for name in sorted(slow):
        print(f"reads a whole table: {name}", file=sys.stderr)
    return len(slow)


_HEAD = """# Queries

What the hot queries of the tasks service cost in one workspace of {tasks} tasks, for a member from whom five projects
are hidden. This page is written by
`python benchmarks/plans.py > docs/queries.md`; `services/tasks/tests/integration/test_plans.py` fails when one of these
queries reads a whole large table.

- Lists, filters and orders walk an index of the workspace in the order asked for and stop at the page; where a filter
  leaves few, PostgreSQL begins with an index on what is filtered, and sorts. To choose it needs to know the values.
  So these queries are planned anew each time (`replan`), and the labels that a filter names are looked up first.
- Texts of five characters and more in titles, assignees, watchers and labels are first looked for in a sample, the
  oldest and the newest 500 tasks of each workspace. What less than three of a thousand have is found by index: texts
  by the trigrams of titles. The plans of the others are left to the planner.
- Search ranks the newest 500 matches of each workspace. A sample of the newest 1,000 tasks says how common the words
  are, and what a filter and the projects hidden from the user leave. Common words (2.5 % and more) are found by walking
  the newest until there are enough: the documents, where clearly more is let through than has the words, otherwise the
  tasks that are let through; rare ones by the index of words. So what a common word finds is in the order of the best
  among its newest 500 matches, not among all.
- Boards take a page of each column from an index in manual order, and count the columns in the same index.
- What a row shows of other tasks (labels, subtasks, blockers, checklist, favourite) is read by index for the rows of
  the page alone; the plans leave it out.

Milliseconds are the best of three runs at the client, on a shared machine; compare blocks (8 KiB each).
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200_000)
    sys.exit(min(1, asyncio.run(run(parser.parse_args().tasks))))
