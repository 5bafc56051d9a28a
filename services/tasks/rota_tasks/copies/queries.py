"""What reads a whole project."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict
from rota_chassis.postgres.work import UnitOfWork

from rota_tasks.boards.domain import Section, State
from rota_tasks.copies.domain import MAX_OTHERS, MAX_TASKS, Content, Part
from rota_tasks.exports.snapshot import Snapshot
from rota_tasks.imports.formats.content import parents_first

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.database import Database

    from rota_tasks.projects.domain import Project
    from rota_tasks.tasks.domain import Task


async def content_of(
    database: Database,
    user: UserPrincipal,
    project: Project,
    *,
    include: Collection[Part],
    max_tasks: int = MAX_TASKS,
) -> Content:
    """A project that the user sees, with all that it holds, as it is at one moment; comments and attachments if wanted.

    Raises:
        Conflict: it holds more than can be handled at once (code PROJECT_TOO_LARGE).
    """
    scope = {"workspace_id": project.workspace_id, "project_id": project.id}
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        snapshot = Snapshot(UnitOfWork.joining(connection), user_id=user.user_id, **scope)
        tasks = await snapshot.count()
        if tasks > max_tasks:
            raise _too_large(f"{tasks:,} tasks, and at most {max_tasks:,}")
        left = MAX_OTHERS
        items = await _all(snapshot.checklist_items(), left)
        left -= len(items)
        relations = await _all(snapshot.relations(), left)
        left -= len(relations)
        comments = await _all(snapshot.comments(), left) if Part.COMMENTS in include else []
        left -= len(comments)
        return Content(
            project=project,
            states=await snapshot.columns(State),
            sections=await snapshot.columns(Section),
            fields=await snapshot.custom_fields(),
            tasks=_parents_first(await snapshot.tasks_at_once()),
            items=items,
            relations=relations,
            comments=comments,
            attachments=await _all(snapshot.attachments(), left) if Part.ATTACHMENTS in include else [],
        )


async def _all(found: AsyncIterator[Any], most: int) -> list[Any]:
    things: list[Any] = []
    async for each in found:
        if len(things) == most:
            raise _too_large(
                f"more than {MAX_OTHERS:,} checklist items, relations, comments and attachments, and at most so many"
            )
        things.append(each)
    return things


def _parents_first(tasks: Sequence[Task]) -> Sequence[Task]:
    """The tasks, those above others first; one whose parent is not among them is a part of nothing."""
    known = {task.id for task in tasks}
    roots = [task if task.parent_id in known else replace(task, parent_id=None) for task in tasks]
    ordered, _ = parents_first(roots, name=attrgetter("id"), parent=attrgetter("parent_id"))
    return ordered


def _too_large(what: str) -> Conflict:
    return Conflict(
        f"The project has {what} are copied at once; export it, and import the file.", code="PROJECT_TOO_LARGE"
    )
