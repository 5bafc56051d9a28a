"""What is searched for, as a query of PostgreSQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, bindparam, func, literal_column
from sqlalchemy.dialects.postgresql import REGCONFIG

from rota_tasks.search.languages import EXACT

_LAST_WORD = re.compile(r"(.*\s|)(\w+)", re.DOTALL)
_WORDS, _BEGINNING = bindparam("words", type_=Text), bindparam("beginning", type_=Text)


def _configuration(name: str) -> Any:
    """As a constant, so that the planner knows what is asked."""
    return literal_column(f"'pg_catalog.{name}'::regconfig", REGCONFIG)


_SIMPLE = _configuration(EXACT)


@dataclass(frozen=True, slots=True)
class Form:
    """Words but for which they are.

    Attributes:
        language: The configuration of PostgreSQL by which they are understood.
        whole: Whether there are some that are not being typed, in the parameter `words`: those of web searches.
        begun: Whether there is one that is, in `beginning`: as the beginning of a word.
    """

    language: str
    whole: bool
    begun: bool

    @property
    def configuration(self) -> Any:
        """The configuration."""
        return _SIMPLE if self.language == EXACT else _configuration(self.language)

    @property
    def query(self) -> Any:
        """The words as a query."""
        whole = func.websearch_to_tsquery(self.configuration, _WORDS)
        if not self.begun:
            return whole
        last: Any = func.to_tsquery(_SIMPLE, _BEGINNING)
        if self.language != EXACT:
            last = last.op("||")(func.to_tsquery(self.configuration, _BEGINNING))
        return whole.op("&&")(last) if self.whole else last


class Asked:
    """Words that are searched.

    Attributes:
        form: What they have in common with others.
        parameters: Which they are, for the parameters of the form.
    """

    def __init__(self, words: str, configuration: str = EXACT) -> None:
        typed = _LAST_WORD.fullmatch(words)
        if typed is None or typed[1].count('"') % 2 or re.search(r"\bor\s*\Z", typed[1], re.IGNORECASE):
            self.form = Form(configuration, whole=True, begun=False)
            self.parameters = {"words": words}
            return
        whole = bool(typed[1].strip())
        self.form = Form(configuration, whole, begun=True)
        self.parameters = {"beginning": f"{typed[2]}:*"} | ({"words": typed[1]} if whole else {})
