"""What changes states and sections: one function a use case, one transaction each.

Two at once take turns on the board of the project, as do the tasks that enter a state or a section: so nothing is
deleted while a task comes in, and no two get one position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict, NotFound, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS

from rota_tasks.boards import domain, queries, store
from rota_tasks.boards.domain import MAX_COLUMNS, MAX_POSITION, ColumnCreated, ColumnEvent, State
from rota_tasks.boards.messages import event_message
from rota_tasks.preconditions import require_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_tasks.boards.domain import Column
    from rota_tasks.boards.store import AnyColumn
    from rota_tasks.projects.dependencies import Projects


async def create_column(
    projects: Projects,
    user: UserPrincipal,
    kind: type[AnyColumn],
    *,
    project_id: UUID,
    request: Request | None,
    **fields: Any,
) -> AnyColumn:
    """Make a state or a section, as the last of its project; a repeated call returns the first.

    Raises:
        NotFound: the project, or a state that a transition leads to, does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: the project has as many as it may.
        Unprocessable: the request id was used for another content.
    """
    workspace_id = await queries.workspace_of(projects, user, project_id, WRITERS)
    column_id = uuid7()
    async with projects.database.transaction() as work:
        await store.lock(work, project_id)
        columns = await store.columns(work, kind, workspace_id=workspace_id, project_id=project_id)
        made = await store.REQUESTS.record(
            work, request, workspace_id=workspace_id, user_id=user.user_id, makes=column_id
        )
        if made is not None:
            return queries.one_of(columns, kind, made)
        if len(columns) >= MAX_COLUMNS:
            named = kind.__name__.lower()
            raise Conflict(f"A project has at most {MAX_COLUMNS} {named}s.", code=f"TOO_MANY_{named.upper()}S")
        _require_targets(columns, fields)
        now = projects.clock.now()
        column = kind(
            id=column_id,
            workspace_id=workspace_id,
            project_id=project_id,
            position=domain.between(columns[-1].position if columns else None, None),
            created_by=user.user_id,
            created_at=now,
            updated_at=now,
            **fields,
        )
        await _apply(work, [ColumnCreated(column)])
    return column


async def edit_column(
    projects: Projects,
    user: UserPrincipal,
    kind: type[AnyColumn],
    *,
    project_id: UUID,
    column_id: UUID,
    changes: Mapping[str, Any],
    if_match: str,
) -> AnyColumn:
    """Set fields of a state or a section; `after_id` among the changes puts it behind another, None in front.

    Raises:
        NotFound: it, or another that is named, does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: its entity tag is another.
    """
    workspace_id = await queries.workspace_of(projects, user, project_id, WRITERS)
    async with projects.database.transaction() as work:
        await store.lock(work, project_id)
        columns = await store.columns(work, kind, workspace_id=workspace_id, project_id=project_id)
        column = queries.one_of(columns, kind, column_id)
        require_version(if_match, version=column.version, etag=column.etag)
        _require_targets(columns, changes)
        fields = dict(changes)
        if "after_id" in fields:
            try:
                fields["position"] = domain.place_of_column(columns, column_id, fields.pop("after_id"))
            except KeyError as error:
                raise NotFound(
                    "There is no such neighbor in the project.",
                    code=f"{kind.__name__.upper()}_NOT_FOUND",
                    violations=[Violation("after_id", "is not another of the project", "not_found")],
                ) from error
        now = projects.clock.now()
        if len(fields.get("position", "")) > MAX_POSITION:
            positions = domain.spread(columns, column_id, fields["position"])
            fields["position"] = positions.pop(column_id)
            for other in columns:
                if other.id in positions:
                    await _apply(work, domain.edit(other, {"position": positions[other.id]}, now=now))
        events = domain.edit(column, fields, now=now)
        await _apply(work, events)
        changed: Any = events[-1].column if events else column
        result: AnyColumn = changed
    return result


async def delete_column(
    projects: Projects,
    user: UserPrincipal,
    kind: type[AnyColumn],
    *,
    project_id: UUID,
    column_id: UUID,
    if_match: str,
) -> None:
    """Delete a state or a section that no task is in.

    Raises:
        NotFound: it does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: tasks are in it.
        PreconditionFailed: its entity tag is another.
    """
    workspace_id = await queries.workspace_of(projects, user, project_id, WRITERS)
    async with projects.database.transaction() as work:
        await store.lock(work, project_id)
        columns = await store.columns(work, kind, workspace_id=workspace_id, project_id=project_id)
        column = queries.one_of(columns, kind, column_id)
        require_version(if_match, version=column.version, etag=column.etag)
        tasks = await store.count_in(work, kind, workspace_id=workspace_id, project_id=project_id, column_id=column_id)
        if tasks:
            raise Conflict(
                f"{column.name} has {tasks} tasks; move them out of it first.", code=f"{kind.__name__.upper()}_IN_USE"
            )
        await _apply(work, domain.delete(column, now=projects.clock.now()))


def _require_targets(columns: Sequence[Column], fields: Mapping[str, Any]) -> None:
    known = {column.id for column in columns}
    unknown = [index for index, each in enumerate(fields.get("transitions", ())) if each.to_state_id not in known]
    if unknown:
        raise NotFound(
            "A transition leads to a state of the same project; define that first.",
            code=f"{State.__name__.upper()}_NOT_FOUND",
            violations=[
                Violation(f"transitions[{index}].to_state_id", "is not a state of the project", "not_found")
                for index in unknown
            ],
        )


async def _apply(work: UnitOfWork, events: Sequence[ColumnEvent]) -> None:
    for event in events:
        work.append(event_message(event))
        await store.project(work, event)
