"""What search finds a task by: its words in one row.

They are weighted: title and keys A, labels B, description and names of attachments C, comments D.

A document is made anew from the task's rows, in the transaction that changes one of them. Two that change one task at
once take turns on the document's row before they read, so that the second sees what the first wrote. Whoever gives a
task labels holds these first, so that a label that is renamed meanwhile is read by its new name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.postgres.statements import statement
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.database import UnitOfWork

_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_TASKS = bindparam("task_ids", type_=ARRAY(PgUUID))
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
_WRITE = statement(
    text(
        """
        INSERT INTO search_documents (workspace_id, task_id, document)
        SELECT workspace_id, id,
            setweight(to_tsvector('simple', title || ' ' || (
                SELECT coalesce(string_agg(p.key || '-' || k.number, ' ' ORDER BY p.key, k.number), '')
                FROM task_keys k JOIN project_keys p ON p.workspace_id = k.workspace_id AND p.project_id = k.project_id
                WHERE k.workspace_id = t.workspace_id AND k.task_id = t.id)), 'A')
            || setweight(to_tsvector('simple', (
                SELECT coalesce(string_agg(l.name, ' ' ORDER BY l.id), '') FROM labels l
                WHERE l.workspace_id = t.workspace_id AND l.id = ANY(t.label_ids))), 'B')
            || setweight(to_tsvector('simple', description), 'C')
            || setweight(to_tsvector('simple', left((
                SELECT coalesce(string_agg(a.name || ' ' || translate(a.name, '._-/', '    '), ' ' ORDER BY a.id), '')
                FROM attachments a WHERE a.workspace_id = t.workspace_id AND a.task_id = t.id), 50000)), 'C')
            || setweight(to_tsvector('simple', left((
                SELECT coalesce(string_agg(c.text, ' ' ORDER BY c.id DESC), '') FROM comments c
                WHERE c.workspace_id = t.workspace_id AND c.task_id = t.id), 50000)), 'D')
        FROM tasks t WHERE workspace_id = :workspace_id AND id = ANY(:task_ids)
        ON CONFLICT (workspace_id, task_id) DO UPDATE SET document = excluded.document
            WHERE search_documents.document IS DISTINCT FROM excluded.document
        """
    ).bindparams(_WORKSPACE, _TASKS)
)
_WITH_LABEL = statement(
    text("SELECT id FROM tasks WHERE workspace_id = :workspace_id AND label_ids @> ARRAY[:label_id]").bindparams(
        _WORKSPACE, bindparam("label_id", type_=PgUUID)
    )
)


_OF_PROJECT = statement(
    text(
        "SELECT id FROM tasks WHERE workspace_id = :workspace_id AND project_id = :project_id AND number > 0"
    ).bindparams(_WORKSPACE, bindparam("project_id", type_=PgUUID))
)


async def write(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Bring documents up to date with the rows of tasks; those of deleted tasks are gone already."""
    await work.fetch(_LOCK, workspace_id=workspace_id, task_ids=list(task_ids))
    await work.execute(_WRITE, workspace_id=workspace_id, task_ids=list(task_ids))


async def write_of_tasks(work: UnitOfWork, *, workspace_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Bring the documents of tasks up to date that may have other labels now."""
    await work.fetch(_HOLD_LABELS, workspace_id=workspace_id, task_ids=list(task_ids))
    await write(work, workspace_id=workspace_id, task_ids=task_ids)


async def write_of_label(work: UnitOfWork, *, workspace_id: UUID, label_id: UUID) -> None:
    """Bring the documents of the tasks up to date that have a label."""
    rows = await work.fetch(_WITH_LABEL, workspace_id=workspace_id, label_id=label_id)
    if rows:
        await write(work, workspace_id=workspace_id, task_ids=[row["id"] for row in rows])


async def write_of_project(work: UnitOfWork, *, workspace_id: UUID, project_id: UUID) -> None:
    """Bring the documents of the tasks of a project up to date, whose keys have become more."""
    rows = await work.fetch(_OF_PROJECT, workspace_id=workspace_id, project_id=project_id)
    if rows:
        await write(work, workspace_id=workspace_id, task_ids=[row["id"] for row in rows])
