"""Expressions of users: CEL (the Common Expression Language), bounded; and `${...}` templates in JSON.

CEL has no loops but its macros, and an implementation may be made to build large values by them; so an expression is
read by its tokens first, and only a few functions are known: no macro that visits a list, no regular expressions. What
is left costs time in proportion to its length and to the values it names. CEL does not mix integers and doubles;
`double(n)` and `int(n)` convert.

Source: https://github.com/google/cel-spec, "Language Definition".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cel
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_LENGTH = 1000
MAX_DEPTH = 32
MAX_OPERATORS = 64
MAX_JSON_DEPTH = 64
MAX_RESULT_BYTES = 65_536
FUNCTIONS = frozenset({"size", "has", "string", "int", "double", "contains", "startsWith", "endsWith"})
_OPENING, _CLOSING = "([{", ")]}"
_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
    |(?P<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<operator>&&|\|\||[=!<>]=|[-+*/%<>!?:])
    |(?P<bracket>[()\[\]{}])
    |(?P<other>[.,])
    """,
    re.VERBOSE,
)


class ExpressionError(Exception):
    """An expression that cannot be read, or has no value; the message is a sentence for its author.

    Attributes:
        position: Where in the text, in characters from 0.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that was read.

    Attributes:
        text: As its author wrote it.
        names: The variables it may name: every name that is neither a member nor a function.
    """

    text: str
    names: frozenset[str]
    _program: Any

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """Its value, JSON.

        Raises:
            ExpressionError: it has none: a missing member, types that do not go together, a value too large.
        """
        try:
            value = self._program.execute(dict(variables))
        except KeyError as error:
            raise ExpressionError(f"There is no {error} in it: {self.text}", 0) from error
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ExpressionError(f"It has no value: {_first_sentence(error)}", 0) from error
        return _bounded(value)

    def members_of(self, variable: str) -> Iterator[str]:
        """The members of a variable that it names with a dot: `a` of `x` in `x.a.b + x["c"]`."""
        words = [each[0] for each in _TOKEN.finditer(self.text) if each.lastgroup != "space"]
        for before, name, dot, member in zip(["", *words], words, words[1:], words[2:], strict=False):
            if (name, dot) == (variable, ".") and before != ".":
                yield member


@lru_cache(maxsize=1024)
def read(text: str) -> Expression:
    """Read an expression.

    Raises:
        ExpressionError: it is none, or longer, deeper or richer in operators than is allowed, or calls a function that
            is not known.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"An expression has at most {MAX_LENGTH} characters.", MAX_LENGTH)
    names = frozenset(_checked(text))
    try:
        return Expression(text, names, cel.compile(text))
    except (RuntimeError, TypeError, ValueError) as error:
        found = re.search(r"<input>:(\d+):(\d+)", str(error))
        position = 0
        if found:
            before = text.split("\n")[: int(found[1]) - 1]
            position = sum(len(line) + 1 for line in before) + int(found[2]) - 1
        raise ExpressionError("It is not an expression; it goes wrong here.", min(position, len(text))) from error


def evaluate(text: str, variables: Mapping[str, Any]) -> Any:
    """Read an expression and return its value (see `read` and `Expression.evaluate`)."""
    return read(text).evaluate(variables)


def is_true(text: str, variables: Mapping[str, Any]) -> bool:
    """Whether a condition holds.

    Raises:
        ExpressionError: it has no value, or one that is neither true nor false.
    """
    value = evaluate(text, variables)
    if not isinstance(value, bool):
        raise ExpressionError("A condition must be true or false.", 0)
    return value


def expand(template: Any, variables: Mapping[str, Any]) -> Any:
    """A copy of JSON with every `${expression}` in its strings replaced; `$${` stands for `${`.

    A string that is one whole expression becomes its value, of whatever type; within other text, values that are not
    strings are written as JSON, members in the order of their names. Keys are left as they are.

    Raises:
        ExpressionError: an expression cannot be read or has no value, or the result is too large or too deep.
    """
    return _bounded(_expanded(template, variables, MAX_JSON_DEPTH))


def expressions(template: Any) -> Iterator[Expression]:
    """Every expression in a template.

    Raises:
        ExpressionError: as for `expand`, as far as that can be known without values.
    """
    for text in _strings(template, MAX_JSON_DEPTH):
        for part in _parts(text):
            if isinstance(part, Expression):
                yield part


def _strings(template: Any, depth: int) -> Iterator[str]:
    if depth == 0:
        raise ExpressionError("It is nested too deeply.", 0)
    if isinstance(template, str):
        yield template
    elif isinstance(template, dict):
        for value in template.values():
            yield from _strings(value, depth - 1)
    elif isinstance(template, list):
        for value in template:
            yield from _strings(value, depth - 1)


def _expanded(template: Any, variables: Mapping[str, Any], depth: int) -> Any:
    if depth == 0:
        raise ExpressionError("It is nested too deeply.", 0)
    if isinstance(template, dict):
        return {key: _expanded(value, variables, depth - 1) for key, value in template.items()}
    if isinstance(template, list):
        return [_expanded(value, variables, depth - 1) for value in template]
    if not isinstance(template, str) or "${" not in template:
        return template
    parts = list(_parts(template))
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return parts[0].evaluate(variables)
    written, size = [], 0
    for part in parts:
        value = part.evaluate(variables) if isinstance(part, Expression) else part
        written.append(value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())
        size += len(written[-1])
        if size > MAX_RESULT_BYTES:
            raise _too_large()
    return "".join(written)


def _parts(text: str) -> Iterator[str | Expression]:
    """The text between expressions, and the expressions."""
    position = 0
    while (start := text.find("${", position)) >= 0:
        if start > 0 and text[start - 1] == "$":
            yield text[position : start - 1] + "${"
            position = start + 2
            continue
        if start > position:
            yield text[position:start]
        end = _end(text, start + 2)
        try:
            yield read(text[start + 2 : end])
        except ExpressionError as error:
            raise ExpressionError(str(error), start + 2 + error.position) from error
        position = end + 1
    if position < len(text):
        yield text[position:]


def _end(text: str, start: int) -> int:
    """Where the brace is that closes an expression."""
    depth, position = 0, start
    while position < min(len(text), start + MAX_LENGTH + 1):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ExpressionError(f"{text[position]!r} means nothing here.", position)
        if token[0] == "}" and depth == 0:
            return position
        depth += (token[0] == "{") - (token[0] == "}")
        position = token.end()
    raise ExpressionError("The expression that begins here has no end.", start)


def _checked(text: str) -> Iterator[str]:
    """The variables of an expression that keeps within the bounds."""
    open_brackets: list[str] = []
    position, operators, before = 0, 0, ""
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ExpressionError(f"{text[position]!r} means nothing here.", position)
        kind, word = token.lastgroup, token[0]
        if kind == "string" and (text[position - 1 : position] or " ") in "'\"" + _LETTERS:
            raise ExpressionError("Strings are written in single or double quotes, without a prefix.", position)
        if word == "/" and before == "/":
            raise ExpressionError("Comments are not part of an expression.", position)
        operators += kind == "operator"
        if operators > MAX_OPERATORS:
            raise ExpressionError(f"An expression has at most {MAX_OPERATORS} operators.", position)
        if kind == "bracket":
            _nest(open_brackets, word, position)
        elif kind == "name" and _is_variable(text, token, before):
            yield word
        if kind != "space":
            before = word
        position = token.end()


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"
_CONSTANTS = frozenset({"true", "false", "null", "in"})


def _is_variable(text: str, name: re.Match[str], before: str) -> bool:
    word = name[0]
    if not text[name.end() :].lstrip().startswith("("):
        return before != "." and word not in _CONSTANTS
    if word not in FUNCTIONS:
        raise ExpressionError(f"There is no function {word}; there are {', '.join(sorted(FUNCTIONS))}.", name.start())
    return False


def _nest(open_brackets: list[str], bracket: str, position: int) -> None:
    if bracket in _OPENING:
        open_brackets.append(bracket)
        if len(open_brackets) > MAX_DEPTH:
            raise ExpressionError(f"Brackets are nested at most {MAX_DEPTH} deep.", position)
    elif not open_brackets or open_brackets.pop() != _OPENING[_CLOSING.index(bracket)]:
        raise ExpressionError("This bracket closes none.", position)


def _bounded(value: Any) -> Any:
    try:
        size = len(orjson.dumps(value))
    except (TypeError, ValueError) as error:
        raise ExpressionError("Its value is not JSON.", 0) from error
    if size > MAX_RESULT_BYTES:
        raise _too_large()
    return value


def _too_large() -> ExpressionError:
    return ExpressionError(f"Its value is larger than {MAX_RESULT_BYTES} bytes.", 0)


def _first_sentence(error: Exception) -> str:
    return str(error).split(". ")[0].rstrip(".") + "."
