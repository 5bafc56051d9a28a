"""Values of custom fields, from the words in which templates have them. Pure."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota_tasks.fields.domain import FORMS, FieldType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rota_tasks.fields.domain import CustomField
    from rota_tasks.templates.dates import Moment

_AMOUNT = re.compile(r"(-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,6})?) ([A-Z]{3})")
_ADDRESS = re.compile(r"https?://[^ ]{1,1990}")


class UnfitError(Exception):
    """The field cannot have the value; the text says why."""


def value_of(custom: CustomField, given: Sequence[str], moment: Callable[[str], Moment | None]) -> Mapping[str, Any]:
    """The value in the form of the task.

    Args:
        custom: The field.
        given: What it gets, none of it empty.
        moment: Reads a date of the template; raises ValueError if it is none.

    Raises:
        UnfitError: it cannot have that.
        OverflowError: a date would lie outside the calendar.
    """
    if custom.type is FieldType.MULTI_SELECT:
        return {FORMS[custom.type]: {"ids": list(dict.fromkeys(_option(custom, each) for each in given))}}
    if len(given) > 1:
        raise UnfitError("has one value")
    return {FORMS[custom.type]: _plain(custom, given[0], moment)}


def _plain(custom: CustomField, text: str, moment: Callable[[str], Moment | None]) -> Any:
    match custom.type:
        case FieldType.NUMBER:
            value: Any = _number(text)
        case FieldType.MONEY:
            value = _money(text)
        case FieldType.DATE:
            value = _day(text, moment)
        case FieldType.SELECT:
            value = _option(custom, text)
        case FieldType.PERSON:
            value = _person(text)
        case FieldType.URL if not _ADDRESS.fullmatch(text):
            raise UnfitError("is no address such as https://example.org")
        case _:
            value = text
    return value


def _option(custom: CustomField, name: str) -> str:
    for option in custom.options:
        if option.name == name:
            return str(option.id)
    raise UnfitError(f"has no option {name[:100]}")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise UnfitError("is no number") from error
    if number - number != 0:
        raise UnfitError("is no number")
    return number


def _money(text: str) -> Mapping[str, str]:
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise UnfitError("is no amount such as 12.50 EUR")
    return {"amount": found[1], "currency": found[2]}


def _day(text: str, moment: Callable[[str], Moment | None]) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    try:
        when = moment(text)
    except ValueError as error:
        raise UnfitError("is no day such as 2026-11-21 or +3d") from error
    if when is None:
        raise UnfitError("is no day such as 2026-11-21 or +3d")
    return when.day.isoformat()


def _person(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise UnfitError("is no id of a user") from error
