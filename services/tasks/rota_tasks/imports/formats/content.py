"""The text of a file, in the parts in which it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from rota_tasks.imports.domain import Problem, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

_BYTE_ORDER_MARK = "\ufeff"


def lines(parts: Sequence[str]) -> Iterator[str]:
    """The lines, each with its end; a byte order mark is left out."""
    rest = ""
    for index, part in enumerate(parts):
        text = part.removeprefix(_BYTE_ORDER_MARK) if index == 0 else part
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            yield line + "\n"
    if rest:
        yield rest


def document(parts: Sequence[str]) -> dict[str, Any] | list[Any]:
    """The JSON document.

    Raises:
        Unreadable: it is none.
    """
    text = "".join(parts).removeprefix(_BYTE_ORDER_MARK)
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        before = text[: error.pos]
        place = f"line {before.count(chr(10)) + 1}, column {error.pos - before.rfind(chr(10))}"
        raise Unreadable(Problem(place, "NOT_JSON", f"The file is not JSON: {error.msg}.")) from error
    if not isinstance(found, dict | list):
        raise Unreadable(Problem("", "WRONG_FORMAT", "The file is JSON, but neither an object nor a list."))
    return found


def parents_first(
    items: Sequence[Any], *, name: Callable[[Any], Hashable], parent: Callable[[Any], Hashable | None]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """The items, those that are a part of another behind it, otherwise in the order given; and those in circles."""
    below: dict[Hashable | None, list[Any]] = {}
    known = {name(each) for each in items}
    for each in items:
        above = parent(each)
        below.setdefault(above if above in known else None, []).append(each)
    ordered: list[Any] = []
    waiting = list(reversed(below.pop(None, [])))
    while waiting:
        each = waiting.pop()
        ordered.append(each)
        waiting.extend(reversed(below.pop(name(each), [])))
    return ordered, [each for group in below.values() for each in group]
