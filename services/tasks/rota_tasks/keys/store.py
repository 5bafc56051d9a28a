"""Keys in PostgreSQL; every query is scoped to a workspace.

The row of a project says which number its last task got. Whoever gives numbers holds that row until the commit, so that
two at once get different ones, and one that is undone leaves none behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import Integer, Text, bindparam, delete, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.keys.tables import PROJECT_KEYS, TASK_KEYS
from rota_tasks.search import documents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader, UnitOfWork

_WORKSPACE, _PROJECT = bindparam("workspace_id", type_=PgUUID), bindparam("project_id", type_=PgUUID)
_TASKS, _PROJECTS = bindparam("task_ids", type_=ARRAY(PgUUID)), bindparam("project_ids", type_=ARRAY(PgUUID))
_CLAIM = statement(
    insert(PROJECT_KEYS).values({each.name: bindparam(each.name) for each in PROJECT_KEYS.c}).on_conflict_do_nothing()
)
_OWNER = statement(
    select(PROJECT_KEYS.c.project_id).where(
        PROJECT_KEYS.c.workspace_id == _WORKSPACE, PROJECT_KEYS.c.key == bindparam("key", type_=Text)
    )
)
_TAKEN = statement(
    select(PROJECT_KEYS.c.key).where(
        PROJECT_KEYS.c.workspace_id == _WORKSPACE, func.starts_with(PROJECT_KEYS.c.key, bindparam("stem", type_=Text))
    )
)
_RELEASE = statement(
    delete(PROJECT_KEYS).where(PROJECT_KEYS.c.workspace_id == _WORKSPACE, PROJECT_KEYS.c.project_id == _PROJECT)
)
_RELEASE_TASKS = statement(
    delete(TASK_KEYS).where(TASK_KEYS.c.workspace_id == _WORKSPACE, TASK_KEYS.c.project_id == _PROJECT)
)
# The rows of projects are locked by id: two that give numbers in several do not wait in a circle.
_NUMBER_TASKS = statement(
    text(
        """
        WITH given AS (
            SELECT task_id, project_id, row_number() OVER (PARTITION BY project_id ORDER BY place) AS nth
            FROM unnest(:task_ids, :project_ids) WITH ORDINALITY AS given (task_id, project_id, place)
        ), held AS (
            SELECT id FROM projects WHERE workspace_id = :workspace_id AND id = ANY(:project_ids)
            ORDER BY id FOR NO KEY UPDATE
        ), taken AS (
            UPDATE projects SET last_number = last_number + counted.tasks
            FROM held JOIN (SELECT project_id, count(*) AS tasks FROM given GROUP BY project_id) AS counted
                ON counted.project_id = held.id
            WHERE projects.workspace_id = :workspace_id AND projects.id = held.id
            RETURNING projects.id, projects.key, projects.last_number - counted.tasks AS before
        ), numbered AS (
            SELECT given.task_id, given.project_id, taken.key, CAST(taken.before + given.nth AS integer) AS number
            FROM given JOIN taken ON taken.id = given.project_id
        ), kept AS (
            INSERT INTO task_keys (workspace_id, project_id, number, task_id)
            SELECT :workspace_id, project_id, number, task_id FROM numbered
        )
        SELECT task_id, project_id, key, number FROM numbered
        """
    ).bindparams(_WORKSPACE, _TASKS, _PROJECTS)
)
_KEEP = statement(
    text(
        """
        WITH told AS (
            SELECT * FROM unnest(:task_ids, :project_ids, :numbers) AS told (task_id, project_id, number)
        ), counted AS (
            UPDATE projects SET last_number = greatest(last_number, highest.number)
            FROM (SELECT project_id, max(number) AS number FROM told GROUP BY project_id) AS highest
            WHERE projects.workspace_id = :workspace_id AND projects.id = highest.project_id
            RETURNING projects.id
        )
        INSERT INTO task_keys (workspace_id, project_id, number, task_id)
        SELECT :workspace_id, told.project_id, told.number, told.task_id
        FROM told JOIN counted ON counted.id = told.project_id
        ON CONFLICT DO NOTHING
        """
    ).bindparams(_WORKSPACE, _TASKS, _PROJECTS, bindparam("numbers", type_=ARRAY(Integer)))
)
_FORGET = statement(
    delete(TASK_KEYS).where(TASK_KEYS.c.workspace_id == _WORKSPACE, TASK_KEYS.c.task_id == func.any(_TASKS))
)
_KEYS_OF = statement(
    text("SELECT id, key FROM projects WHERE workspace_id = :workspace_id AND id = ANY(:project_ids)").bindparams(
        _WORKSPACE, _PROJECTS
    )
)


async def claim(work: UnitOfWork, *, workspace_id: UUID, project_id: UUID, key: str) -> bool:
    """Let a key lead to a project from now on; whether it does, and not to another.

    Of two at once the second waits until the first is decided.
    """
    scope = {"workspace_id": workspace_id, "key": key}
    if await work.execute(_CLAIM, **scope, project_id=project_id):
        await documents.write_of_project(work, workspace_id=workspace_id, project_id=project_id)
        return True
    owner: UUID | None = await work.fetch_value(_OWNER, **scope)
    return owner == project_id


async def taken(reader: Reader, *, workspace_id: UUID, stem: str) -> frozenset[str]:
    """The keys of projects that begin so."""
    rows = await reader.fetch(_TAKEN, workspace_id=workspace_id, stem=stem)
    return frozenset(row["key"] for row in rows)


async def release(work: UnitOfWork, *, workspace_id: UUID, project_id: UUID) -> None:
    """Forget the keys of a project that is deleted, and those that its tasks had."""
    await work.execute(_RELEASE_TASKS, workspace_id=workspace_id, project_id=project_id)
    await work.execute(_RELEASE, workspace_id=workspace_id, project_id=project_id)


async def number(
    work: UnitOfWork, *, workspace_id: UUID, places: Sequence[tuple[UUID, UUID]]
) -> Mapping[UUID, tuple[int, str]]:
    """Give tasks the next numbers of their projects, in one statement.

    Args:
        work: The transaction, which holds the rows of the projects from then on.
        workspace_id: Where.
        places: The tasks, each with its project, in the order of their numbers.

    Returns:
        By task its number and the key of its project, empty when that has none; none for a project that is gone.
    """
    rows = await work.fetch(
        _NUMBER_TASKS,
        workspace_id=workspace_id,
        task_ids=[task_id for task_id, _ in places],
        project_ids=[project_id for _, project_id in places],
    )
    return {row["task_id"]: (row["number"], row["key"]) for row in rows}


async def keep(work: UnitOfWork, *, workspace_id: UUID, told: Sequence[tuple[UUID, UUID, int]]) -> None:
    """Remember the numbers that tasks have, or had, in their projects: what events say, for the rebuild."""
    if told:
        task_ids, project_ids, numbers = zip(*told, strict=True)
        await work.execute(
            _KEEP,
            workspace_id=workspace_id,
            task_ids=list(task_ids),
            project_ids=list(project_ids),
            numbers=list(numbers),
        )


async def forget(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Forget the keys of tasks that are gone for good; their numbers stay used."""
    await work.execute(_FORGET, workspace_id=workspace_id, task_ids=list(task_ids))


async def keys_of(reader: Reader, *, workspace_id: UUID, project_ids: Sequence[UUID]) -> Mapping[UUID, str]:
    """The keys of projects as they are now."""
    rows = await reader.fetch(_KEYS_OF, workspace_id=workspace_id, project_ids=list(project_ids))
    return {row["id"]: row["key"] for row in rows}
