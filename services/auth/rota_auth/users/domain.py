"""A user: what a profile holds and how it may change. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

DEFAULT_TIME_ZONE = "UTC"
DEFAULT_LOCALE = "en"

# A well-formed language tag (RFC 5646, section 2.1), without the grandfathered ones.
_LANGUAGE_TAG = re.compile(
    r"""
    (?: (?: [a-z]{2,3} (?:-[a-z]{3}){0,3} | [a-z]{4,8} )    # language
        (?:-[a-z]{4})?                                      # script
        (?:-(?:[a-z]{2}|[0-9]{3}))?                         # region
        (?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*            # variants
        (?:-[a-wy-z0-9](?:-[a-z0-9]{2,8})+)*                # extensions
        (?:-x(?:-[a-z0-9]{1,8})+)?                          # private use
    ) | x(?:-[a-z0-9]{1,8})+
    """,
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)


class SystemRole(StrEnum):
    """What a user may do in the whole system."""

    USER = "user"
    MANAGER = "manager"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person; the fields are those of rota.auth.v1.User."""

    id: UUID
    workspace_id: UUID
    email: str
    name: str
    role: SystemRole = SystemRole.USER
    time_zone: str = DEFAULT_TIME_ZONE
    locale: str = DEFAULT_LOCALE
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'


@dataclass(frozen=True, slots=True)
class UserRegistered:
    """Somebody registered."""

    user: User


@dataclass(frozen=True, slots=True)
class UserUpdated:
    """A profile changed; `user` is the user after it."""

    user: User


class InvalidField(ValueError):
    """A field cannot have this value.

    Attributes:
        field: Its name.
        problem: What is wrong, as the end of a sentence that begins with the name.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


def register(
    user_id: UUID, workspace_id: UUID, *, email: str, name: str, role: SystemRole, now: datetime
) -> UserRegistered:
    """A new user.

    Raises:
        InvalidField: the name is empty.
    """
    return UserRegistered(
        User(
            id=user_id,
            workspace_id=workspace_id,
            email=email,
            name=_name(name),
            role=role,
            created_at=now,
            updated_at=now,
        )
    )


def update(
    user: User, changes: Mapping[str, str], *, time_zones: Collection[str], now: datetime
) -> Sequence[UserUpdated]:
    """Change a profile; only what differs counts.

    Args:
        user: As it is.
        changes: New values by field: name, time_zone, locale; an empty one clears the field to its default.
        time_zones: The names of time zones there are.
        now: When.

    Returns:
        One event, or none when nothing differs.

    Raises:
        InvalidField: a field is unknown, or cannot have its new value.
    """
    fields: dict[str, Any] = {}
    for field, value in changes.items():
        match field:
            case "name":
                fields[field] = _name(value)
            case "time_zone":
                fields[field] = _time_zone(value, time_zones)
            case "locale":
                fields[field] = _locale(value)
            case _:
                raise InvalidField("update_mask", f"names {field!r}, which cannot be changed")
    if all(getattr(user, field) == value for field, value in fields.items()):
        return []
    return [UserUpdated(replace(user, updated_at=now, version=user.version + 1, **fields))]


def move(user: User, workspace_id: UUID, *, now: datetime) -> UserUpdated:
    """Give a user another workspace of their own."""
    return UserUpdated(replace(user, workspace_id=workspace_id, updated_at=now, version=user.version + 1))


def etag_matches(user: User, if_match: str) -> bool:
    """Whether an If-Match header names the user's version (RFC 9110, section 13.1.1: strong comparison)."""
    return if_match.strip() == "*" or user.etag in (tag.strip() for tag in if_match.split(","))


def _name(value: str) -> str:
    name = value.strip()
    if not name:
        raise InvalidField("name", "needs at least one character that is not white space")
    return name


def _time_zone(value: str, time_zones: Collection[str]) -> str:
    if value and value not in time_zones:
        raise InvalidField("time_zone", 'is not an IANA time zone like "Europe/Warsaw"')
    return value or DEFAULT_TIME_ZONE


def _locale(value: str) -> str:
    if value and _LANGUAGE_TAG.fullmatch(value) is None:
        raise InvalidField("locale", 'is not a BCP 47 language tag like "pl" or "pt-BR"')
    return value or DEFAULT_LOCALE
