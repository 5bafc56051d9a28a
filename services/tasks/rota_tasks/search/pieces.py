"""What of the documents is left to make anew, some at a time: what notes name, and languages that are new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from sqlalchemy import Boolean, Integer, bindparam, text
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_tasks.search import documents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_chassis.postgres.work import UnitOfWork

_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_LABEL, _PROJECT = bindparam("label_id", type_=PgUUID), bindparam("project_id", type_=PgUUID)
_NOTE_ID, _LAST = bindparam("id", type_=PgUUID), bindparam("last_id", type_=PgUUID)
_LIMIT = bindparam("limit", type_=Integer)
_NEXT_LANGUAGE = statement(
    text(
        """
        SELECT workspace_id, language, last_id, begins_after IS NULL AS unseen FROM search_languages
        WHERE NOT ready AND (begins_after IS NULL OR begins_after <= pg_snapshot_xmin(pg_current_snapshot()))
        ORDER BY workspace_id, language LIMIT 1 FOR UPDATE SKIP LOCKED
        """
    )
)
_SEEN = statement(
    text(
        "UPDATE search_languages SET begins_after = pg_current_xact_id()"
        " WHERE workspace_id = :workspace_id AND language = :language"
    ).bindparams(_WORKSPACE)
)
_PREPARED = statement(
    text(
        "UPDATE search_languages SET last_id = :last_id, ready = :ready"
        " WHERE workspace_id = :workspace_id AND language = :language AND last_id = :before"
    ).bindparams(_WORKSPACE, _LAST, bindparam("before", type_=PgUUID), bindparam("ready", type_=Boolean))
)
_AFTER = statement(
    text(
        "SELECT workspace_id, id AS task_id, true AS stale FROM tasks"
        " WHERE workspace_id = :workspace_id AND id > :last_id ORDER BY id LIMIT :limit"
    ).bindparams(_WORKSPACE, _LAST, _LIMIT)
)
# A note is worked off by one at a time, by whoever comes first.
_NEXT_NOTE = statement(
    text(
        """
        SELECT workspace_id, id, label_id, project_id, last_id FROM stale_documents
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
        """
    )
)
_NEXT_TASKS = statement(
    text(
        """
        SELECT workspace_id, id AS task_id,
            coalesce(label_ids @> ARRAY[:label_id], false) OR coalesce(project_id = :project_id, false) AS stale
        FROM tasks WHERE workspace_id = :workspace_id AND id > :last_id ORDER BY id LIMIT :limit
        """
    ).bindparams(_WORKSPACE, _LABEL, _PROJECT, _LAST, _LIMIT)
)
_GO_ON = statement(
    text(
        "UPDATE stale_documents SET last_id = :last_id"
        " WHERE workspace_id = :workspace_id AND id = :id AND last_id = :before"
    ).bindparams(_WORKSPACE, _NOTE_ID, _LAST, bindparam("before", type_=PgUUID))
)
_DONE = statement(
    text("DELETE FROM stale_documents WHERE workspace_id = :workspace_id AND id = :id").bindparams(_WORKSPACE, _NOTE_ID)
)


@dataclass(frozen=True, slots=True)
class Piece:
    """The next tasks of a note, or of a language of a workspace; locked until the transaction ends.

    Attributes:
        of: The row of the note, or of the language.
        tasks: With `workspace_id` and `task_id`, and whether the document is `stale`.
        is_last: Whether no tasks come after them.
    """

    of: Mapping[str, Any]
    tasks: Sequence[Mapping[str, Any]]
    is_last: bool

    async def write(self, work: UnitOfWork) -> None:
        """Make the documents of its tasks anew."""
        stale = [task["task_id"] for task in self.tasks if task["stale"]]
        if stale:
            await documents.write(work, workspace_id=self.of["workspace_id"], task_ids=stale)


async def next_of_note(work: UnitOfWork, most: int) -> Piece | None:
    """The next tasks that a note is about, at most so many; None when there is no note that nobody else has.

    Dying before the commit leaves it where it was.
    """
    note = await work.fetch_one(_NEXT_NOTE)
    if note is None:
        return None
    of = {name: note[name] for name in ("workspace_id", "label_id", "project_id", "last_id")}
    tasks = await work.fetch(_NEXT_TASKS, **of, limit=most)
    return Piece(note, tasks, is_last=len(tasks) < most)


async def go_on_with_note(work: UnitOfWork, piece: Piece) -> None:
    """Let the note be about what comes after these tasks; it is done when nothing does."""
    of = {name: piece.of[name] for name in ("workspace_id", "id")}
    if piece.is_last:
        await work.execute(_DONE, **of)
    else:
        await work.execute(_GO_ON, **of, before=piece.of["last_id"], last_id=piece.tasks[-1]["task_id"])


async def next_of_language(work: UnitOfWork, most: int) -> Piece | None:
    """The next tasks that a language of a workspace is prepared for (see `languages`), at most so many.

    None of them when it has just been seen; None when there is no such language that nobody else has. Dying before the
    commit leaves it where it was.
    """
    language = await work.fetch_one(_NEXT_LANGUAGE)
    if language is None:
        return None
    if language["unseen"]:
        return Piece(language, (), is_last=False)
    of = {name: language[name] for name in ("workspace_id", "last_id")}
    tasks = await work.fetch(_AFTER, **of, limit=most)
    return Piece(language, tasks, is_last=len(tasks) < most)


async def go_on_with_language(work: UnitOfWork, piece: Piece) -> None:
    """Let the language go on after these tasks; it is ready when none come."""
    of = {name: piece.of[name] for name in ("workspace_id", "language")}
    if piece.of["unseen"]:
        await work.execute(_SEEN, **of)
        return
    before = piece.of["last_id"]
    last_id = piece.tasks[-1]["task_id"] if piece.tasks else before
    await work.execute(_PREPARED, **of, before=before, last_id=last_id, ready=piece.is_last)
