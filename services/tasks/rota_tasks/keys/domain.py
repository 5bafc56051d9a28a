"""Short keys: those of projects, `HOME`, and of their tasks, `HOME-12`.

Pure.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_KEY = 10
_KEY = re.compile(r"[A-Z][A-Z0-9]{1,9}")
_TASK_KEY = re.compile(r"([A-Z][A-Z0-9]{1,9})-([1-9][0-9]{0,8})")
_STEM = 6
"""How long keys are that are made from names, at most, before a number is put behind."""
_FALLBACK = "PROJ"


def stem(name: str) -> str:
    """What the keys made from the name of a project begin with, possibly one letter.

    The first letters of its words, or those of its only word, without their marks.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().upper()
    words = re.findall(r"[A-Z0-9]+", plain)
    letters = "".join(word[0] for word in words) if len(words) > 1 else "".join(words)
    return letters.lstrip("0123456789")[:_STEM] or _FALLBACK


def candidates(name: str) -> Iterator[str]:
    """Keys for a project of this name, the best first; there is always another."""
    first = stem(name)
    if _KEY.fullmatch(first):
        yield first
    for number in count(2):
        digits = str(number)
        yield first[: MAX_KEY - len(digits)] + digits


def task_key(project_key: str, number: int) -> str:
    """The key of a task."""
    return f"{project_key}-{number}"


def parse(key: str) -> tuple[str, int] | None:
    """The key of the project and the number in the key of a task, whatever the case; None when it is no such key."""
    found = _TASK_KEY.fullmatch(key.strip().upper())
    return None if found is None else (found[1], int(found[2]))
