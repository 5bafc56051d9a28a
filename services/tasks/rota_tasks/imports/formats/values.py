"""Values as files write them, made to fit; what does not fit is noted."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from rota_tasks.imports.domain import Problem, RejectedRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TITLE = 500
MAX_DESCRIPTION = 50_000
MAX_COMMENT = 20_000
MAX_NAME = 100
MAX_PROJECT_NAME = 200
MAX_ESTIMATE_S = 315_360_000
_COLOR = re.compile(r"#?([0-9A-Fa-f]{6})\Z")
_KEY_LENGTH = 300


class Wrong(ValueError):
    """A value that its record cannot do without is missing or wrong."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Notes:
    """What of one record cannot be taken over."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._found: list[Problem] = []

    def add(self, code: str, detail: str) -> None:
        """Note something."""
        self._found.append(Problem(self.place, code, detail))

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)


def rejected(kind: str, place: str, error: Wrong) -> RejectedRecord:
    """A record that is left out."""
    return RejectedRecord(place=place, key=f"{kind}:", notes=(Problem(place, error.code, f"{error}.", left_out=True),))


def key(kind: str, identifier: Any) -> str:
    """The key of a record.

    Raises:
        Wrong: the file gives it no id that could be one.
    """
    if isinstance(identifier, bool) or not isinstance(identifier, str | int) or identifier in ("", 0):
        raise Wrong("ID_MISSING", f"the {kind} has no id")
    return f"{kind}:{clean(str(identifier))[:_KEY_LENGTH]}"


def reference(kind: str, identifier: Any) -> str | None:
    """The key that an id refers to; None when nothing is referred to."""
    return None if identifier in (None, "", 0) else key(kind, identifier)


def text(value: Any, notes: Notes, *, most: int = MAX_DESCRIPTION, what: str = "description") -> str:
    """A text, cut where it is too long; nothing where there is none."""
    if value is None:
        return ""
    if not isinstance(value, str):
        notes.add("TEXT_EXPECTED", f"The {what} is no text.")
        return ""
    found = clean(value)
    if "\ufffd" in found:
        notes.add("ENCODING", f"The {what} has characters that were not UTF-8.")
    if len(found) > most:
        notes.add("TEXT_CUT", f"The {what} was longer than {most} characters and has been cut.")
    return found[:most]


def name(value: Any, notes: Notes, *, most: int = MAX_NAME, what: str = "name") -> str:
    """A text that is not empty.

    Raises:
        Wrong: it is.
    """
    found = text(value, notes, most=most, what=what)
    if not found.strip():
        raise Wrong("NAME_MISSING", f"the {what} is missing")
    return found


def title(value: Any, description: str, notes: Notes) -> tuple[str, str]:
    """A title and a description; a title that is too long goes on top of the description as a whole.

    Raises:
        Wrong: there is no title.
    """
    if not isinstance(value, str) or not value.strip():
        raise Wrong("TITLE_MISSING", "the title is missing")
    found = clean(value)
    if "\ufffd" in found:
        notes.add("ENCODING", "The title has characters that were not UTF-8.")
    if len(found) <= MAX_TITLE:
        return found, description
    notes.add("TITLE_CUT", f"The title was longer than {MAX_TITLE} characters; the whole is in the description.")
    whole = f"{found}\n\n{description}" if description else found
    return found[:MAX_TITLE], text(whole, notes)


def clean(value: str) -> str:
    """Without what the database cannot hold: U+0000 and lone surrogates."""
    return value.replace("\0", "").encode(errors="replace").decode()


def instant(value: Any) -> datetime | None:
    """An instant in RFC 3339; None for nothing, and for the year 1, which Go writes for it.

    Raises:
        ValueError: it is none.
    """
    if value in (None, ""):
        return None
    found = datetime.fromisoformat(str(value))
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    if found.year <= 1:
        return None
    return found.astimezone(UTC)


def day_or_instant(value: Any) -> date | datetime | None:
    """A day, `2026-11-21`, or an instant; None for nothing.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str) and len(value.strip()) == len("2026-11-21"):
        return date.fromisoformat(value.strip())
    return instant(value.strip() if isinstance(value, str) else value)


def timed(fields: dict[str, Any], what: str, value: Any, notes: Notes) -> None:
    """Set `due` or `start`, as the day or the instant that a value is."""
    try:
        found = day_or_instant(value)
    except (ValueError, OverflowError):
        notes.add("DATE_NOT_UNDERSTOOD", f"The {what} `{_short(value)}` is no day or instant (ISO 8601).")
        return
    if isinstance(found, datetime):
        fields[f"{what}_at"] = found
    elif found is not None:
        fields[f"{what}_on"] = found


def at(fields: dict[str, Any], field: str, value: Any, notes: Notes) -> None:
    """Set a field to an instant, of a day its beginning in UTC."""
    try:
        found = day_or_instant(value)
    except (ValueError, OverflowError):
        notes.add("DATE_NOT_UNDERSTOOD", f"`{field}` `{_short(value)}` is no day or instant (ISO 8601).")
        return
    if found is not None:
        fields[field] = (
            found if isinstance(found, datetime) else datetime(found.year, found.month, found.day, tzinfo=UTC)
        )


def number(value: Any, notes: Notes, *, least: int, most: int, what: str) -> int | None:
    """A whole number within bounds; None for nothing."""
    if value in (None, ""):
        return None
    try:
        found = int(value) if isinstance(value, str) else round(value)
    except (TypeError, ValueError, OverflowError):
        found = least - 1
    if not least <= found <= most:
        notes.add("NUMBER_OUT_OF_RANGE", f"The {what} `{_short(value)}` is no number from {least} to {most}.")
        return None
    return found


def color(value: Any) -> str:
    """A colour as `#rrggbb`; nothing for any other."""
    found = _COLOR.match(value) if isinstance(value, str) else None
    return f"#{found[1].lower()}" if found else ""


def one_by_one(value: Any) -> list[Any]:
    """The members of a list; none for what is no list."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[tuple[int, dict[str, Any]]]:
    """The objects in a list with their places; none for what is no list."""
    return [(index, each) for index, each in enumerate(one_by_one(value)) if isinstance(each, dict)]


def _short(value: Any) -> str:
    return str(value)[:100]
