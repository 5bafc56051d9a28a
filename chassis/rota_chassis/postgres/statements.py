"""SQLAlchemy Core is the language, asyncpg the engine: each statement is compiled once, to SQL with $n parameters.

Those that are put together for a call are compiled once for each shape.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.postgresql import asyncpg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy.sql import ClauseElement

_DIALECT = asyncpg.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

_COMPILED: dict[Any, Any] = {}
_COMPILED_KEPT = 1_000
_PARAMETER = re.compile(r"\$(\d+)")


_GIVEN = object()
"""In place of a value that each call gives."""


class Statement:
    """SQL with named parameters, ready for asyncpg.

    Args:
        sql: The text, parameters as $1, $2, ….
        parameters: Of each its name, and its value unless a call gives another; `_GIVEN` where it must.
        replan: Whether a database plans it for the values of each call, rather than once for all.
    """

    __slots__ = ("_parameters", "replan", "sql")

    def __init__(self, sql: str, parameters: tuple[tuple[str, Any], ...], *, replan: bool = False) -> None:
        self.sql = sql
        self.replan = replan
        self._parameters = parameters

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """The values of $1, $2, … for these named parameters.

        Raises:
            TypeError: a parameter is missing, or one is given that the statement does not have.
        """
        unknown = parameters.keys() - {name for name, _ in self._parameters}
        if unknown:
            raise TypeError(f"the statement has no parameters {sorted(unknown)}: {self.sql}")
        values = [parameters.get(name, default) for name, default in self._parameters]
        if _GIVEN in values:
            raise TypeError(
                f"the statement needs the parameter {self._parameters[values.index(_GIVEN)][0]!r}: {self.sql}"
            )
        return values

    def given(self, values: Mapping[str, Any]) -> Statement:
        """This with values for some of its parameters, unless a call gives others."""
        parameters = tuple((name, values.get(name, default)) for name, default in self._parameters)
        return Statement(self.sql, parameters, replan=self.replan)

    def reading(self, name: str, part: Statement) -> Statement:
        """This as one statement with a query, whose rows it reads as those of the table `name`.

        What is the same for each call is compiled once, while the part is put together for it.
        """
        sql = _reading(self.sql, name, part.sql)
        return Statement(sql, (*part._parameters, *self._parameters), replan=self.replan or part.replan)


def _compiled(clause: ClauseElement) -> tuple[Any, dict[str, Any]]:
    """The construct as SQL, perhaps compiled for another that differs in values alone, and its own values by name."""
    # SQLAlchemy's key of a construct, by which its engine, which is not used here, caches as well.
    key: Any = clause._generate_cache_key()  # noqa: SLF001
    compiled: Any = None if key is None else _COMPILED.get(key.key)
    if compiled is None:
        how = {"cache_key": key, "compile_kwargs": {"render_postcompile": True}}
        compiled = clause._compiler(_DIALECT, **how)  # noqa: SLF001
        if key is None or compiled.post_compile_params:
            # Its text depends on its values, such as the number of those in a list.
            return compiled, {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
        if len(_COMPILED) >= _COMPILED_KEPT:
            _COMPILED.clear()
        _COMPILED[key.key] = compiled
    values = compiled.construct_params(extracted_parameters=key.bindparams, _check=False)
    return compiled, {name: values[name] for bind, name in compiled.bind_names.items() if not bind.required}


def statement(clause: ClauseElement, *, replan: bool = False) -> Statement:
    """Compile a Core construct; parameters are its `bindparam`s, and the columns of an `insert` without values.

    Args:
        clause: What to compile.
        replan: For what is best done one way with some values and another way with others, such as a filter that leaves
            most rows or few. PostgreSQL would soon settle for one plan; planning anew costs less than the wrong one.
    """
    compiled, defaults = _compiled(clause)
    parameters = tuple((name, defaults.get(name, _GIVEN)) for name in compiled.positiontup or ())
    return Statement(compiled.string, parameters, replan=replan)


@lru_cache(maxsize=_COMPILED_KEPT)
def together(texts: tuple[str, ...]) -> str:
    """Statements that change rows as one, whose parameters are those of the first, then those of the second, and so on.

    Each sees what there was before all of them (PostgreSQL, "Data-Modifying Statements in WITH").
    """
    *others, last = _numbered_on(texts)
    parts = ", ".join(f"part_{index} AS ({other})" for index, other in enumerate(others))
    return f"WITH {parts} {last}" if parts else last


@lru_cache(maxsize=_COMPILED_KEPT)
def _reading(text: str, name: str, part: str) -> str:
    part, text = _numbered_on((part, text))
    others = text.removeprefix("WITH ")
    return f"WITH {name} AS ({part})" + (f", {others}" if others != text else f" {text}")


def _numbered_on(texts: Iterable[str]) -> Iterator[str]:
    before = 0
    for text in texts:
        numbers = {int(number) for number in _PARAMETER.findall(text)}
        yield _PARAMETER.sub(lambda match, before=before: f"${int(match[1]) + before}", text)  # type: ignore[misc]
        before += max(numbers, default=0)
