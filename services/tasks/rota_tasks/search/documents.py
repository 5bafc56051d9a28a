"""What search finds a task by: its words in one row.

They are weighted: title and keys A, labels B, description and names of attachments C, comments D. Words are there as
they are written, and as stems of each language of the workspace (see `languages`).

A document is made anew from the task's rows, in the transaction that changes one of them. Two that change one task at
once take turns on the document's row before they read, so that the second sees what the first wrote. Whoever gives a
task labels holds these first, so that a label that is renamed meanwhile is read by its new name.

What many tasks have in common, a label's name or a project's key, is in all their documents. Where these are more than
`AT_ONCE`, the transaction that changes it leaves a note, and `refreshing` makes them anew afterwards, a piece at a time
(see `pieces`). A document is always made from the rows as they are, so it does no harm to do that twice, or while the
next change comes: that leaves a note of its own.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING
from uuid import UUID

from rota_chassis.ids import uuid7
from rota_chassis.postgres.statements import statement
from sqlalchemy import Integer, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.statements import Statement
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.tasks.domain import Task

AT_ONCE = 500
"""How many documents one transaction makes anew at most, for what their tasks have in common."""

_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_TASKS = bindparam("task_ids", type_=ARRAY(PgUUID))
_LABEL, _PROJECT = bindparam("label_id", type_=PgUUID), bindparam("project_id", type_=PgUUID)
_LAST = bindparam("last_id", type_=PgUUID)
_LIMIT = bindparam("limit", type_=Integer)
_HOLD_LABELS = statement(
    text(
        """
        SELECT id FROM labels WHERE workspace_id = :workspace_id
            AND id IN (
                SELECT unnest(label_ids) FROM tasks WHERE workspace_id = :workspace_id AND id = ANY(:task_ids))
        ORDER BY id FOR SHARE
        """
    ).bindparams(_WORKSPACE, _TASKS)
)
_LOCK = statement(
    text(
        """
        SELECT task_id FROM search_documents WHERE workspace_id = :workspace_id AND task_id = ANY(:task_ids)
        ORDER BY task_id FOR UPDATE
        """
    ).bindparams(_WORKSPACE, _TASKS)
)


def _vector(configuration: str, cut: str = "") -> str:
    """The words of a task's texts, by an expression for the configuration, and one for how much of each at most."""
    texts = {"head": "A", "labels": "B", "description": "C", "attachments": "C", "comments": "D"}
    parts = {name: f"left({name}, {cut})" if cut else name for name in texts}
    return " || ".join(
        f"setweight(to_tsvector({configuration}, {parts[name]}), '{weight}')" for name, weight in texts.items()
    )


# All words of a document take 1 MB at most. So with many languages, or long texts, each has those of a part.
_CUT = "CASE WHEN bytes * number <= 200000 THEN 50000 ELSE 8000 / number END"


def _made(tasks: str, texts: str, languages: str = "search_languages WHERE workspace_id = :workspace_id") -> str:
    """A query for the documents of tasks: whence these, their texts, and the languages come."""
    return f"""
        WITH languages AS MATERIALIZED (
            SELECT CAST('pg_catalog.' || language AS regconfig) AS configuration,
                CAST(count(*) OVER () AS integer) AS number
            FROM {languages}
        )
        SELECT t.workspace_id, t.id AS task_id,
            {_vector("'simple'")}
            || coalesce((SELECT tsvector_union({_vector("configuration", _CUT)}) FROM languages), '') AS document
        FROM {tasks} t
        CROSS JOIN LATERAL (SELECT {texts}) AS texts
        CROSS JOIN LATERAL (
            SELECT octet_length(head) + octet_length(description) + octet_length(attachments) + octet_length(comments)
                AS bytes
        ) AS size
    """  # noqa: S608 (constants of this module)


_KEYS_AND_LABELS = """
    title || ' ' || (
        SELECT coalesce(string_agg(p.key || '-' || k.number, ' ' ORDER BY p.key, k.number), '')
        FROM task_keys k JOIN project_keys p ON p.workspace_id = k.workspace_id AND p.project_id = k.project_id
        WHERE k.workspace_id = t.workspace_id AND k.task_id = t.id) AS head,
    (SELECT coalesce(string_agg(l.name, ' ' ORDER BY l.id), '') FROM labels l
        WHERE l.workspace_id = t.workspace_id AND l.id = ANY(t.label_ids)) AS labels
"""
_ATTACHMENTS_AND_COMMENTS = """
    left((
        SELECT coalesce(string_agg(a.name || ' ' || translate(a.name, '._-/', '    '), ' ' ORDER BY a.id), '')
        FROM attachments a WHERE a.workspace_id = t.workspace_id AND a.task_id = t.id), 50000) AS attachments,
    left((
        SELECT coalesce(string_agg(c.text, ' ' ORDER BY c.id DESC), '') FROM comments c
        WHERE c.workspace_id = t.workspace_id AND c.task_id = t.id), 50000) AS comments
"""
_TEXTS = f"{_KEYS_AND_LABELS}, {_ATTACHMENTS_AND_COMMENTS}"
_MADE = f"{_made('tasks', _TEXTS)} WHERE t.workspace_id = :workspace_id AND t.id = ANY(:task_ids)"
_WRITE = statement(
    text(
        f"""
        INSERT INTO search_documents (workspace_id, task_id, document) {_MADE}
        ON CONFLICT (workspace_id, task_id) DO UPDATE SET document = excluded.document
            WHERE search_documents.document IS DISTINCT FROM excluded.document
        """
    ).bindparams(_WORKSPACE, _TASKS)
)
# A task that is written by the same statement, and has no labels: its texts are those given. Which languages there are
# is looked up once the transaction has its id, so that whoever prepares another waits for it (see `languages`).
_NEW = "(SELECT :workspace_id AS workspace_id, :task_id AS id, :title AS title, :description AS description)"
_NEW_TEXTS = """
    title || ' ' || (
        SELECT coalesce(string_agg(p.key || '-' || :number, ' ' ORDER BY p.key), '')
        FROM project_keys p WHERE p.workspace_id = :workspace_id AND p.project_id = :project_id) AS head,
    '' AS labels, '' AS attachments, '' AS comments
"""
_WRITE_NEW = statement(
    text(
        "INSERT INTO search_documents (workspace_id, task_id, document) "
        + _made(_NEW, _NEW_TEXTS, "search_languages_now(:workspace_id) AS language")
    ).bindparams(
        _WORKSPACE,
        _PROJECT,
        bindparam("task_id", type_=PgUUID),
        bindparam("title", type_=Text),
        bindparam("description", type_=Text),
        bindparam("number", type_=Integer),
    )
)
# Those that the transaction has written itself: nobody has attached anything to them, or said anything about them.
_TEXTS_OF_NEW = f"{_KEYS_AND_LABELS}, '' AS attachments, '' AS comments"
_WRITE_ALL_NEW = statement(
    text(
        f"""
        INSERT INTO search_documents (workspace_id, task_id, document) {_made("tasks", _TEXTS_OF_NEW)}
        WHERE t.workspace_id = :workspace_id AND t.id = ANY(:task_ids)
        """
    ).bindparams(_WORKSPACE, _TASKS)
)
_WRONG = statement(
    text(
        f"""
        SELECT made.task_id FROM ({_MADE}) made LEFT JOIN search_documents found USING (workspace_id, task_id)
        WHERE found.document IS DISTINCT FROM made.document
        """  # noqa: S608 (the statement above)
    ).bindparams(_WORKSPACE, _TASKS)
)
_ALL = statement(
    text(
        """
        SELECT workspace_id, id FROM tasks WHERE (workspace_id, id) > (:workspace_id, :last_id)
        ORDER BY workspace_id, id LIMIT :limit
        """
    ).bindparams(_WORKSPACE, _LAST, _LIMIT)
)
_WITH_LABEL = statement(
    text(
        "SELECT id FROM tasks WHERE workspace_id = :workspace_id AND label_ids @> ARRAY[:label_id] LIMIT :limit"
    ).bindparams(_WORKSPACE, _LABEL, _LIMIT)
)
_OF_PROJECT = statement(
    text(
        "SELECT id FROM tasks WHERE workspace_id = :workspace_id AND project_id = :project_id AND number > 0"
        " LIMIT :limit"
    ).bindparams(_WORKSPACE, _PROJECT, _LIMIT)
)
_NOTE = statement(
    text(
        """
        INSERT INTO stale_documents (workspace_id, id, label_id, project_id)
        VALUES (:workspace_id, :id, :label_id, :project_id)
        """
    ).bindparams(_WORKSPACE, bindparam("id", type_=PgUUID), _LABEL, _PROJECT)
)


async def write(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Bring documents up to date with the rows of tasks; those of deleted tasks are gone already."""
    await work.fetch(_LOCK, workspace_id=workspace_id, task_ids=list(task_ids))
    await work.execute(_WRITE, workspace_id=workspace_id, task_ids=list(task_ids))


async def write_new(work: UnitOfWork, task: Task) -> None:
    """Write the document of a task that is written with it, has its number, and has no labels."""
    named = ("workspace_id", "project_id", "number", "title", "description")
    await work.write(_WRITE_NEW, task_id=task.id, **{name: getattr(task, name) for name in named})


async def write_of_tasks(
    work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID], labelled: bool = True, new: bool = False
) -> None:
    """Bring the documents of tasks up to date that may have other labels now.

    Args:
        work: The transaction that has written the tasks.
        workspace_id: Where they are.
        task_ids: Which they are.
        labelled: Whether any of them has labels, to be held.
        new: Whether nobody else knows of them yet, and so nobody takes turns: they have no documents, and nothing is
            attached to them or said about them.
    """
    if labelled:
        await work.fetch(_HOLD_LABELS, workspace_id=workspace_id, task_ids=list(task_ids))
    if new:
        await work.execute(_WRITE_ALL_NEW, workspace_id=workspace_id, task_ids=list(task_ids))
    else:
        await write(work, workspace_id=workspace_id, task_ids=task_ids)


async def write_of_label(work: UnitOfWork, *, workspace_id: UUID, label_id: UUID) -> None:
    """Bring the documents of the tasks up to date that have a label, or leave a note to."""
    await _write_or_note(work, _WITH_LABEL, workspace_id, label_id=label_id)


async def write_of_project(work: UnitOfWork, *, workspace_id: UUID, project_id: UUID) -> None:
    """Bring the documents of the tasks of a project up to date, whose keys have become more, or leave a note to."""
    await _write_or_note(work, _OF_PROJECT, workspace_id, project_id=project_id)


async def rebuild(database: Database) -> None:
    """Make those documents anew that are not what the rows of their tasks give, a few at a time."""
    workspace_id = task_id = UUID(int=0)
    while rows := await database.fetch(_ALL, workspace_id=workspace_id, last_id=task_id, limit=AT_ONCE):
        for workspace_id, group in groupby(rows, key=itemgetter("workspace_id")):
            task_ids = [row["id"] for row in group]
            wrong = await database.fetch(_WRONG, workspace_id=workspace_id, task_ids=task_ids)
            if wrong:
                async with database.transaction() as work:
                    await write(work, workspace_id=workspace_id, task_ids=[row["task_id"] for row in wrong])
        task_id = rows[-1]["id"]


async def _write_or_note(work: UnitOfWork, query: Statement, workspace_id: UUID, **of: UUID) -> None:
    rows = await work.fetch(query, workspace_id=workspace_id, limit=AT_ONCE + 1, **of)
    if len(rows) > AT_ONCE:
        note = {"label_id": None, "project_id": None} | of
        await work.execute(_NOTE, workspace_id=workspace_id, id=uuid7(), **note)
    elif rows:
        await write(work, workspace_id=workspace_id, task_ids=[row["id"] for row in rows])
