"""What must be so of the other things that a task names: people, projects, labels, its parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import Conflict, NotFound, Violation
from rota_chassis.memberships import WRITERS, require_role

from rota_tasks.labels import store as labels
from rota_tasks.projects import store as projects
from rota_tasks.tasks import store, tree
from rota_tasks.tasks.domain import MAX_LEVELS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_tasks.tasks.dependencies import Tasks


async def require_members(
    tasks: Tasks,
    workspace_id: UUID,
    project_id: UUID | None,
    user_ids: Sequence[UUID],
    *,
    field: str = "assignee_ids",
) -> None:
    """Return if all belong to the workspace and see the project, if one is given.

    Raises:
        Conflict: someone does not (code ASSIGNEE_NOT_A_MEMBER).
    """
    refuse_strangers(user_ids, await strangers_to(tasks, workspace_id, project_id, user_ids), field=field)


async def strangers_to(
    tasks: Tasks, workspace_id: UUID, project_id: UUID | None, user_ids: Sequence[UUID]
) -> Collection[UUID]:
    """Those of the users who do not belong to the workspace, or do not see the project, if one is given."""
    strangers = await tasks.memberships.strangers(workspace_id, user_ids)
    return {*strangers, *await blind_to(tasks.database, workspace_id, project_id, user_ids)}


async def blind_to(
    reader: Reader, workspace_id: UUID, project_id: UUID | None, user_ids: Sequence[UUID]
) -> Collection[UUID]:
    """Those of the users who do not see the project; nobody, if none is given."""
    if project_id is None or not user_ids:
        return ()
    scope = {"workspace_id": workspace_id, "project_id": project_id}
    return set(user_ids) - await projects.seeing(reader, **scope, user_ids=user_ids)


async def blind_to_own(
    reader: Reader, user: UserPrincipal, workspace_id: UUID, user_ids: Sequence[UUID]
) -> Collection[UUID]:
    """Those of the users who will not see a private project that the user makes: nobody else is named in it yet."""
    if not user_ids:
        return ()
    return (
        set(user_ids) - {user.user_id} - await projects.seeing_all(reader, workspace_id=workspace_id, user_ids=user_ids)
    )


def refuse_strangers(user_ids: Sequence[UUID], strangers: Collection[UUID], *, field: str = "assignee_ids") -> None:
    """Return if none of the users is a stranger.

    Raises:
        Conflict: someone is (code ASSIGNEE_NOT_A_MEMBER).
    """
    found = [each for each in user_ids if each in strangers]
    if found:
        raise Conflict(
            "Only members of the workspace who see the project can be assigned; invite them first.",
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


async def require_project(
    reader: Reader,
    user: UserPrincipal,
    workspace_id: UUID,
    project_id: UUID | None,
    roles: frozenset[str] | None = WRITERS,
) -> None:
    """Return if the workspace has the project for the user, in one of the roles, or none is asked for.

    Raises:
        NotFound: it has not (code PROJECT_NOT_FOUND).
        PermissionDenied: the user's role in it is another.
    """
    if project_id is None:
        return
    role = await projects.role(reader, user_id=user.user_id, workspace_id=workspace_id, project_id=project_id)
    if role is None:
        raise NotFound("There is no such project in the task's workspace.", code="PROJECT_NOT_FOUND")
    require_role(role, roles)


async def require_some_writing(tasks: Tasks, user: UserPrincipal, workspace_id: UUID) -> str:
    """The user's role in the workspace, if they may write in it, or in one of its projects.

    Raises:
        NotFound: the workspace does not exist for the user.
        PermissionDenied: they may write nowhere.
    """
    role = await tasks.memberships.require(user.user_id, workspace_id)
    if role not in WRITERS and not await projects.writes_in_one(
        tasks.database, workspace_id=workspace_id, user_id=user.user_id
    ):
        require_role(role, WRITERS)
    return role


async def require_writer(
    reader: Reader, user: UserPrincipal, *, workspace_id: UUID, task_ids: Sequence[UUID]
) -> Mapping[UUID, UUID | None]:
    """The projects of those of the tasks that the user may see, if they may write in all of these.

    Raises:
        PermissionDenied: their role in one of them is another.
    """
    places = await store.places(reader, user_id=user.user_id, workspace_id=workspace_id, task_ids=task_ids)
    for _project_id, role in places.values():
        require_role(role, WRITERS)
    return {task_id: project_id for task_id, (project_id, _role) in places.items()}


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


async def require_place(
    work: UnitOfWork, user: UserPrincipal, workspace_id: UUID, task_id: UUID, parent_id: UUID | None
) -> None:
    """Return if the user may make the task, with everything below it, a part of `parent_id`; of nothing it may be.

    The caller holds the structure of the workspace (`tree.lock`), so that what holds now still holds at the commit.

    Raises:
        NotFound: the workspace has no such parent for the user (code PARENT_NOT_FOUND).
        PermissionDenied: the user may not write where the parent is.
        Conflict: the parent is the task itself or below it (code SUBTASK_CYCLE), or it would be too deep (code
            SUBTASKS_TOO_DEEP).
    """
    if parent_id is None:
        return
    seen = await require_writer(work, user, workspace_id=workspace_id, task_ids=[parent_id])
    above = await tree.path(work, workspace_id=workspace_id, task_id=parent_id) if parent_id in seen else ()
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
