"""What must be so of the other things that a task names: people, projects, labels, its parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, NotFound, Violation

from rota_tasks.labels import store as labels
from rota_tasks.projects import store as projects
from rota_tasks.tasks import tree
from rota_tasks.tasks.domain import MAX_LEVELS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from rota_chassis.postgres.database import UnitOfWork

    from rota_tasks.tasks.dependencies import Tasks


async def require_members(
    tasks: Tasks, workspace_id: UUID, user_ids: Sequence[UUID], *, field: str = "assignee_ids"
) -> None:
    """Return if all belong to the workspace.

    Raises:
        Conflict: someone does not (code ASSIGNEE_NOT_A_MEMBER).
    """
    refuse_strangers(user_ids, await tasks.memberships.strangers(workspace_id, user_ids), field=field)


def refuse_strangers(user_ids: Sequence[UUID], strangers: Collection[UUID], *, field: str = "assignee_ids") -> None:
    """Return if none of the users is a stranger.

    Raises:
        Conflict: someone is (code ASSIGNEE_NOT_A_MEMBER).
    """
    found = [each for each in user_ids if each in strangers]
    if found:
        raise Conflict(
            "Only members of the workspace can be assigned; invite them first.",
            code="ASSIGNEE_NOT_A_MEMBER",
            violations=[
                Violation(
                    field if field == "assignee_id" else f"{field}[{list(user_ids).index(stranger)}]",
                    "is not a member of the workspace",
                    "not_a_member",
                )
                for stranger in found
            ],
        )


async def require_project(work: UnitOfWork, workspace_id: UUID, project_id: UUID | None) -> None:
    """Return if the workspace has the project, or none is asked for.

    Raises:
        NotFound: it has not (code PROJECT_NOT_FOUND).
    """
    if project_id is not None and not await projects.exists(work, workspace_id=workspace_id, project_id=project_id):
        raise NotFound("There is no such project in the task's workspace.", code="PROJECT_NOT_FOUND")


async def require_labels(work: UnitOfWork, workspace_id: UUID, label_ids: Sequence[UUID]) -> None:
    """Return if the workspace has all the labels.

    Raises:
        NotFound: it has not (code LABEL_NOT_FOUND).
    """
    missing = await labels.missing(work, workspace_id=workspace_id, label_ids=label_ids)
    if missing:
        raise NotFound(
            "There is no such label in the task's workspace.",
            code="LABEL_NOT_FOUND",
            violations=[
                Violation(f"label_ids[{index}]", "is not a label of the workspace", "not_found")
                for index, label_id in enumerate(label_ids)
                if label_id in missing
            ],
        )


async def require_place(work: UnitOfWork, workspace_id: UUID, task_id: UUID, parent_id: UUID | None) -> None:
    """Return if the task, with everything below it, may be a part of `parent_id`; anything may be a part of nothing.

    The caller holds the structure of the workspace (`tree.lock`), so that what holds now still holds at the commit.

    Raises:
        NotFound: the workspace has no such parent (code PARENT_NOT_FOUND).
        Conflict: the parent is the task itself or below it (code SUBTASK_CYCLE), or it would be too deep (code
            SUBTASKS_TOO_DEEP).
    """
    if parent_id is None:
        return
    above = await tree.path(work, workspace_id=workspace_id, task_id=parent_id)
    if not above:
        raise NotFound(
            "There is no such parent in the task's workspace.",
            code="PARENT_NOT_FOUND",
            violations=[Violation("parent_id", "is not a task of the workspace", "not_found")],
        )
    if task_id in above:
        raise Conflict(
            "A task cannot be a part of itself, or of a task below it.",
            code="SUBTASK_CYCLE",
            violations=[Violation("parent_id", "is the task itself or below it", "cycle")],
        )
    if len(above) + await tree.height(work, workspace_id=workspace_id, task_id=task_id) > MAX_LEVELS:
        raise Conflict(
            f"Tasks nest at most {MAX_LEVELS} levels deep.",
            code="SUBTASKS_TOO_DEEP",
            violations=[Violation("parent_id", "is too deep", "too_deep")],
        )


async def require_not_nested(work: UnitOfWork, workspace_id: UUID, parent_id: UUID | None) -> None:
    """Return if a task that recurs may be a part of `parent_id`: nothing above it recurs.

    Raises:
        Conflict: something does (code RECURRENCE_NESTED).
    """
    if parent_id is not None and await tree.recurs_above(work, workspace_id=workspace_id, task_id=parent_id):
        raise Conflict(
            "A part of a recurring task cannot recur itself; make it a task of its own, or end the other recurrence.",
            code="RECURRENCE_NESTED",
            violations=[Violation("recurrence", "the task is a part of one that recurs", "nested")],
        )
