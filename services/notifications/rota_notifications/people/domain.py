"""A person: what telling them needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user as auth last described them.

    Attributes:
        workspace_id: Their own workspace.
        id: The user.
        email: Address, as they wrote it.
        name: Display name.
        time_zone: IANA name.
        locale: BCP 47 language tag.
        version: Version of the profile; the newest one wins.
    """

    workspace_id: UUID
    id: UUID
    email: str
    name: str
    time_zone: str
    locale: str
    version: int
