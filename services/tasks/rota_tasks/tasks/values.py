"""Values of custom fields: what a change makes of them, and what must be so.

Whoever gives a task a value holds the fields of its project until the commit (`fields.store.hold`), behind the row of
the task itself, so that a value fits the field as it then is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_chassis.errors import Conflict, InvalidArgument, Violation

from rota_tasks.fields import store
from rota_tasks.fields.domain import fitting, people, unfit
from rota_tasks.tasks import requirements

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.fields.domain import CustomField
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task

NAMED = "fields."
"""What stands before the id of a field in masks, filters, orders and violations."""


def field_id(path: str) -> str:
    """The id of the field that a path names, in its usual form.

    Raises:
        InvalidArgument: it is no id.
    """
    try:
        return str(UUID(path.removeprefix(NAMED)))
    except ValueError as error:
        raise _invalid([Violation(path, "is not the id of a custom field", "not_found")]) from error


async def require_people(tasks: Tasks, workspace_id: UUID, project_id: UUID | None, changes: Mapping[str, Any]) -> None:
    """Return if all persons among the new values belong to the workspace and see the project; not in a transaction.

    Raises:
        Conflict: someone does not (code ASSIGNEE_NOT_A_MEMBER).
    """
    found = persons(changes)
    refuse_strangers(changes, await requirements.strangers_to(tasks, workspace_id, project_id, found))


def persons(changes: Mapping[str, Any]) -> list[UUID]:
    """The persons among the new values, each once."""
    return list(dict.fromkeys(people(_given(changes)).values()))


def refuse_strangers(changes: Mapping[str, Any], strangers: Collection[UUID]) -> None:
    """Return if none of the persons among the new values is a stranger.

    Raises:
        Conflict: someone is (code ASSIGNEE_NOT_A_MEMBER).
    """
    found = [key for key, person in people(_given(changes)).items() if person in strangers]
    if found:
        raise Conflict(
            "Only members of the workspace who see the project can be named; invite them first.",
            code="ASSIGNEE_NOT_A_MEMBER",
            violations=[Violation(NAMED + key, "is not a member of the workspace", "not_a_member") for key in found],
        )


async def require_values(work: UnitOfWork, task: Task) -> None:
    """Return if a new task has values that fit its project, and all that it must have.

    Raises:
        InvalidArgument: it has not.
    """
    if task.project_id is None and not task.fields:
        return
    fields = await _fields(work, task.workspace_id, task.project_id)
    missing = {str(field.id) for field in fields if field.required} - task.fields.keys()
    _require(fields, task.fields, missing)


async def settle(work: UnitOfWork, task: Task, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The changes with all values as they will be: those given, and the others that the task keeps.

    Another project keeps none of the values, since its fields are others.

    Args:
        work: The transaction.
        task: As it is, locked.
        changes: `fields` replaces all values; `field_values` gives new ones by field, None for none.

    Raises:
        InvalidArgument: a value does not fit, or one is missing that must not be.
    """
    project_id = changes.get("project_id", task.project_id)
    moves = project_id != task.project_id
    if not moves and "fields" not in changes and "field_values" not in changes:
        return changes
    settled = dict(changes)
    given = settled.pop("field_values", {})
    before = {} if moves else task.fields
    merged = {**settled.get("fields", before), **given}
    after = {key: value for key, value in merged.items() if value is not None}
    fields = await _fields(work, task.workspace_id, project_id)
    differing = {key: value for key, value in after.items() if before.get(key) != value}
    required = {str(field.id) for field in fields if field.required}
    missing = (required if moves else required & before.keys()) - after.keys()
    unknown: dict[str, Mapping[str, Any]] = {
        key: {} for key, value in given.items() if value is None and key not in before
    }
    _require(fields, differing | unknown, missing, cleared=unknown.keys())
    return settled | {"fields": after}


async def still_fitting(
    work: UnitOfWork, workspace_id: UUID, project_id: UUID | None, values: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """What is left of earlier values now."""
    return fitting(await _fields(work, workspace_id, project_id), values) if values else {}


def _given(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**changes.get("fields", {}), **changes.get("field_values", {})}


async def _fields(work: UnitOfWork, workspace_id: UUID, project_id: UUID | None) -> Sequence[CustomField]:
    if project_id is None:
        return []
    return await store.hold(work, workspace_id=workspace_id, project_id=project_id)


def _require(
    fields: Sequence[CustomField],
    values: Mapping[str, Mapping[str, Any]],
    missing: Collection[str],
    *,
    cleared: Collection[str] = (),
) -> None:
    by_id = {str(field.id): field for field in fields}
    violations = []
    for key, value in values.items():
        field = by_id.get(key)
        reason = "is not a custom field of the task's project" if field is None else None
        if field is not None and key not in cleared:
            reason = unfit(field, value)
        if reason is not None:
            violations.append(Violation(NAMED + key, reason, "not_found" if field is None else "unfit"))
    violations += [Violation(NAMED + key, f"needs a value: {by_id[key].name}", "required") for key in sorted(missing)]
    if violations:
        raise _invalid(violations)


def _invalid(violations: list[Violation]) -> InvalidArgument:
    return InvalidArgument(
        "Values of custom fields do not fit; look at the fields of the project.",
        code="INVALID_FIELDS",
        violations=violations,
    )
