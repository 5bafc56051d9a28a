"""What is wrong with a document, and where."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PROBLEMS = 20

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the body, "" for the whole of it; None when a parameter is at fault.
        code: stable word: unknown_field, wrong_type, out_of_range, invalid_enum, invalid_timestamp, ...
        detail: a sentence for a person.
        parameter: name of the query parameter, path parameter or header at fault, if one is.
    """

    pointer: str | None
    code: str
    detail: str
    parameter: str | None = None


class DecodeError(ValueError):
    """A document is not of the form its message type demands.

    Attributes:
        problems: what is wrong, in document order, at least one and at most MAX_PROBLEMS.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "; ".join(f"{problem.parameter or problem.pointer}: {problem.detail}" for problem in self.problems)
        )


class Problems:
    """Collects what is wrong while a document is decoded, up to MAX_PROBLEMS."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, pointer: str, code: str, detail: str) -> None:
        """Note a problem of the body; raises DecodeError when there are enough."""
        self._add(Problem(pointer, code, detail))

    def add_parameter(self, parameter: str, code: str, detail: str) -> None:
        """Note a problem of a parameter; raises DecodeError when there are enough."""
        self._add(Problem(None, code, detail, parameter))

    def _add(self, problem: Problem) -> None:
        self.found.append(problem)
        if len(self.found) >= MAX_PROBLEMS:
            raise DecodeError(self.found)

    def unknown_members(self, body: dict[str, object], known: frozenset[str], pointer: str) -> None:
        """Note each member of an object that its message type does not have."""
        for name in body:
            if name not in known:
                place = pointer if len(name) > _LONGEST_NAME else f"{pointer}/{token(name)}"
                self.add(place, "unknown_field", unknown_name("member", name, known))


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """A sentence saying that `name` is unknown, with the closest known name if there is one."""
    if len(name) > _LONGEST_NAME:
        return f"has a {what} with an unknown name of {len(name)} characters"
    close = get_close_matches(name, known, n=1)
    return f"is not a known {what}" + (f"; did you mean `{close[0]}`?" if close else "")


def token(name: str) -> str:
    """A member name as a reference token of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")
