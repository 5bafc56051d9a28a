"""Days and time zones as requests write them."""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from rota_chassis.errors import InvalidArgument, Violation

from rota_tasks.tasks.domain import DAY_OR_INSTANT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message


def day(message: Message, field: str) -> date | None:
    """An optional field that holds a calendar date, `2026-11-21`.

    Raises:
        InvalidArgument: there is no such day, such as February 30 or any of the year 0.
    """
    if not message.HasField(field):
        return None
    try:
        return date.fromisoformat(getattr(message, field))
    except ValueError as error:
        raise _invalid(f"There is no such day in `{field}`.", Violation(field, "is no day", "no_such_day")) from error


def zone_name(message: Message, field: str) -> str:
    """A field that names an IANA time zone, possibly empty.

    Raises:
        InvalidArgument: there is no such zone.
    """
    name: str = getattr(message, field)
    if name and name not in zones():
        raise _invalid(
            "There is no such time zone; use an IANA name such as `Europe/Berlin`.",
            Violation(field, "is no IANA time zone", "no_such_time_zone"),
        )
    return name


def require_one_of_each(fields: Mapping[str, Any]) -> None:
    """Return if no day comes with the instant that says the same.

    Raises:
        InvalidArgument: one does.
    """
    for name, other in DAY_OR_INSTANT:
        if fields.get(name) is not None and fields.get(other) is not None:
            raise _invalid(
                f"Give `{name}` or `{other}`, not both.",
                Violation(name, f"cannot be given beside {other}", "day_and_instant"),
            )


@cache
def zones() -> frozenset[str]:
    """The IANA time zones, those of the `tzdata` package."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def _invalid(detail: str, violation: Violation) -> InvalidArgument:
    return InvalidArgument(detail, code="INVALID_FIELDS", violations=[violation])
