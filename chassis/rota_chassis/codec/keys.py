"""Values that travel as text: keys of maps, and parameters of the path, the query and headers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota_chassis.codec.problems import Problems

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")


def parse_integer(text: str) -> int | None:
    """A whole number in JSON's notation; None when the text is anything else."""
    return int(text) if _INTEGER.fullmatch(text) else None


def read_integer_key(name: str, low: int, high: int, pointer: str, problems: Problems) -> int | None:
    """The key of a map from integers."""
    number = parse_integer(name)
    if number is None:
        problems.add(pointer, "wrong_type", "must have a whole number as its name")
    elif not low <= number <= high:
        problems.add(pointer, "out_of_range", f"must have a name within {low} and {high}")
    else:
        return number
    return None


def read_bool_key(name: str, pointer: str, problems: Problems) -> bool | None:
    """The key of a map from booleans."""
    if name in {"true", "false"}:
        return name == "true"
    problems.add(pointer, "wrong_type", "must be named `true` or `false`")
    return None
