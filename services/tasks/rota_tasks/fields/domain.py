"""The custom fields of a project, and what values fit them.

Pure. A value is what rota.tasks.v1.CustomValue is in JSON, `{"number": 3.5}`: it says itself what it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

MAX_FIELDS = 50
"""Of one project."""


class FieldType(StrEnum):
    """What a custom field holds."""

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"
    DATE = "date"
    SELECT = "select"
    MULTI_SELECT = "multi_select"
    PERSON = "person"
    URL = "url"


FORMS: Mapping[FieldType, str] = {
    **{each: each.value for each in FieldType},
    FieldType.SELECT: "option_id",
    FieldType.MULTI_SELECT: "option_ids",
    FieldType.PERSON: "user_id",
}
"""The member that values of a type have."""
WITH_OPTIONS = frozenset({FieldType.SELECT, FieldType.MULTI_SELECT})


@dataclass(frozen=True, slots=True)
class Option:
    """One of the choices of a field; the fields are those of rota.tasks.v1.CustomOption."""

    id: UUID
    name: str
    color: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomField:
    """A field that the tasks of a project have; the fields are those of rota.tasks.v1.CustomField."""

    id: UUID
    workspace_id: UUID
    project_id: UUID
    name: str
    type: FieldType
    options: tuple[Option, ...] = ()
    required: bool = False
    position: str
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'


@dataclass(frozen=True, slots=True)
class CustomFieldEvent:
    """Something happened to a field; `field` is the field after it."""

    field: CustomField


class CustomFieldCreated(CustomFieldEvent):
    """It was created."""


class CustomFieldUpdated(CustomFieldEvent):
    """It changed."""


class CustomFieldDeleted(CustomFieldEvent):
    """It was deleted; `field` is as it last was, one version on."""


def edit(field: CustomField, changes: Mapping[str, Any], *, now: datetime) -> Sequence[CustomFieldUpdated]:
    """Set name, options, required or position; nothing follows when nothing differs."""
    differing = {name: value for name, value in changes.items() if getattr(field, name) != value}
    if not differing:
        return []
    return [CustomFieldUpdated(replace(field, **differing, updated_at=now, version=field.version + 1))]


def delete(field: CustomField, *, now: datetime) -> CustomFieldDeleted:
    """End it."""
    return CustomFieldDeleted(replace(field, updated_at=now, version=field.version + 1))


def unfit(field: CustomField, value: Mapping[str, Any]) -> str | None:
    """Why the field cannot have the value; None when it can. Whether a person is a member is not looked at."""
    form = FORMS[field.type]
    if form not in value:
        return f"must be given as `{form}`, for {field.name}"
    known = {str(option.id) for option in field.options}
    wanted = {value[form]} if field.type is FieldType.SELECT else ()
    if field.type is FieldType.MULTI_SELECT:
        wanted = set(value[form]["ids"])
    if not known.issuperset(wanted):
        return f"is not an option of {field.name}"
    if field.type is FieldType.DATE:
        try:
            date.fromisoformat(value[form])
        except ValueError:
            return f"is no day, for {field.name}"
    return None


def fitting(fields: Sequence[CustomField], values: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The values that these fields can have."""
    by_id = {str(field.id): field for field in fields}
    return {key: value for key, value in values.items() if key in by_id and unfit(by_id[key], value) is None}


def people(values: Mapping[str, Mapping[str, Any] | None]) -> dict[str, UUID]:
    """The persons among the values, by the id of their field."""
    return {key: UUID(value["user_id"]) for key, value in values.items() if value and "user_id" in value}
