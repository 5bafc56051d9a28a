"""What changes custom fields: one function a use case, one transaction each.

Two at once take turns on the board of the project. Whoever gives a task a value holds the fields as they are until
the commit, so that no option is left out while a task gets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict, NotFound, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS

from rota_tasks.boards import domain as boards
from rota_tasks.boards.queries import workspace_of
from rota_tasks.boards.store import lock
from rota_tasks.fields import domain, queries, store
from rota_tasks.fields.domain import FORMS, MAX_FIELDS, WITH_OPTIONS, CustomField, FieldType, Option
from rota_tasks.fields.messages import event_message
from rota_tasks.preconditions import require_version
from rota_tasks.tasks import store as tasks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.fields.domain import CustomFieldEvent
    from rota_tasks.projects.dependencies import Projects


async def create_field(
    projects: Projects,
    user: UserPrincipal,
    *,
    project_id: UUID,
    name: str,
    type: FieldType,  # noqa: A002 (the name that the contract gives it)
    options: Sequence[Option],
    required: bool,
) -> CustomField:
    """Define a field, as the last of its project; options get new ids.

    Raises:
        NotFound: the project does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: the project has as many as it may.
    """
    workspace_id = await workspace_of(projects, user, project_id, WRITERS)
    async with projects.database.transaction() as work:
        await lock(work, project_id)
        fields = await store.fields_of(work, workspace_id=workspace_id, project_id=project_id)
        if len(fields) >= MAX_FIELDS:
            raise Conflict(f"A project has at most {MAX_FIELDS} custom fields.", code="TOO_MANY_FIELDS")
        now = projects.clock.now()
        field = CustomField(
            id=uuid7(),
            workspace_id=workspace_id,
            project_id=project_id,
            name=name,
            type=type,
            options=_known((), options) if type in WITH_OPTIONS else (),
            required=required,
            position=boards.between(fields[-1].position if fields else None, None),
            created_by=user.user_id,
            created_at=now,
            updated_at=now,
        )
        await _apply(work, domain.CustomFieldCreated(field))
    return field


async def edit_field(
    projects: Projects,
    user: UserPrincipal,
    *,
    project_id: UUID,
    field_id: UUID,
    changes: Mapping[str, Any],
    if_match: str,
) -> CustomField:
    """Set name, options or required; `after_id` among the changes puts it behind another, None in front.

    Raises:
        NotFound: it, or another that is named, does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: an option is left out that a task has.
        PreconditionFailed: its entity tag is another.
    """
    workspace_id = await workspace_of(projects, user, project_id, WRITERS)
    async with projects.database.transaction() as work:
        await lock(work, project_id)
        fields = await store.fields_of(work, workspace_id=workspace_id, project_id=project_id)
        field = queries.one_of(fields, field_id)
        require_version(if_match, version=field.version, etag=field.etag)
        wanted, now = dict(changes), projects.clock.now()
        if "options" in wanted:
            wanted["options"] = _known(field.options, wanted["options"]) if field.type in WITH_OPTIONS else ()
        if "after_id" in wanted:
            positions = _placed(fields, field, wanted.pop("after_id"))
            wanted["position"] = positions.pop(field_id)
            for other in fields:
                for event in domain.edit(other, {"position": positions.get(other.id, other.position)}, now=now):
                    await _apply(work, event)
        events = domain.edit(field, wanted, now=now)
        for event in events:
            await _apply(work, event)
            # Who holds the field has given its value by now.
            await _require_unused(work, field, event.field)
    return events[-1].field if events else field


async def delete_field(
    projects: Projects, user: UserPrincipal, *, project_id: UUID, field_id: UUID, if_match: str
) -> None:
    """Delete a field; the values of it are shown no longer.

    Raises:
        NotFound: it does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: its entity tag is another.
    """
    workspace_id = await workspace_of(projects, user, project_id, WRITERS)
    async with projects.database.transaction() as work:
        await lock(work, project_id)
        fields = await store.fields_of(work, workspace_id=workspace_id, project_id=project_id)
        field = queries.one_of(fields, field_id)
        require_version(if_match, version=field.version, etag=field.etag)
        await _apply(work, domain.delete(field, now=projects.clock.now()))


def _known(before: Sequence[Option], wanted: Sequence[Option]) -> tuple[Option, ...]:
    """The options, where one that is not among those before, or comes twice, has a new id."""
    left = {option.id for option in before}
    found = []
    for option in wanted:
        found.append(option if option.id in left else Option(uuid7(), option.name, option.color))
        left.discard(option.id)
    return tuple(found)


def _placed(fields: Sequence[CustomField], field: CustomField, after_id: UUID | None) -> dict[UUID, str]:
    """New positions, of this field and of others where they must make room."""
    try:
        position = boards.place_of_column(fields, field.id, after_id)
    except KeyError as error:
        raise NotFound(
            "There is no such neighbor in the project.",
            code="FIELD_NOT_FOUND",
            violations=[Violation("after_id", "is not another of the project", "not_found")],
        ) from error
    if len(position) > boards.MAX_POSITION:
        return boards.spread(fields, field.id, position)
    return {field.id: position}


async def _require_unused(work: UnitOfWork, before: CustomField, field: CustomField) -> None:
    gone = {option.id for option in before.options} - {option.id for option in field.options}
    for option in before.options:
        if option.id not in gone:
            continue
        value: Any = {"ids": [str(option.id)]} if field.type is FieldType.MULTI_SELECT else str(option.id)
        held = {str(field.id): {FORMS[field.type]: value}}
        if await tasks.has_value(work, workspace_id=field.workspace_id, project_id=field.project_id, value=held):
            raise Conflict(
                f"Tasks have the option {option.name}; give them another first.",
                code="OPTION_IN_USE",
                violations=[Violation("options", f"leaves out {option.name}", "in_use")],
            )


async def _apply(work: UnitOfWork, event: CustomFieldEvent) -> None:
    work.append(event_message(event))
    await store.project(work, event)
