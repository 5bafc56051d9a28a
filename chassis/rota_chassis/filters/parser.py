"""Text to filter, by recursive descent; what it may cost is bounded before it is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.filters.ast import (
    COMPARES,
    And,
    Comparison,
    Contains,
    Field,
    Filter,
    IsUnset,
    Kind,
    Leaf,
    Not,
    OneOf,
    Operator,
    Or,
    Value,
)
from rota_chassis.filters.lexer import Token, TokenKind, invalid, tokens
from rota_chassis.filters.literals import Context, Day, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_DEPTH = 50
MAX_VALUES = 200
"""How many values a filter may name in all, which bounds its terms too."""

_OPERATORS = {each.value for each in Operator}
_KEYWORDS = {"AND", "OR", "NOT", "IN", "IS", "NULL"}


def parse(text: str, schema: Mapping[str, Field], context: Context) -> Filter:
    """The filter that a text writes.

    Args:
        text: See the package for the grammar; at most 4,096 bytes, 50 levels and 200 values.
        schema: The fields that it may name.
        context: What now, today and me mean.

    Raises:
        InvalidArgument: it is not a filter on these fields (code INVALID_FILTER); says where, and what was expected.
    """
    parser = _Parser(text, schema, context)
    found = parser.disjunction(1)
    parser.expect_end()
    return found


class _Parser:
    def __init__(self, text: str, schema: Mapping[str, Field], context: Context) -> None:
        self._tokens = list(tokens(text))
        self._schema = schema
        self._context = context
        self._next = 0
        self._values = 0

    def disjunction(self, depth: int) -> Filter:
        parts = [self._conjunction(depth)]
        while self._takes_keyword("OR"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def expect_end(self) -> None:
        if self._peek.kind is not TokenKind.END:
            raise invalid(self._peek.position, "AND, OR or the end")

    def _conjunction(self, depth: int) -> Filter:
        parts = [self._unary(depth)]
        while self._takes_keyword("AND"):
            parts.append(self._unary(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _unary(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise invalid(self._peek.position, f"at most {MAX_DEPTH} levels")
        if self._peek.kind is TokenKind.MINUS:
            self._take()
            return Not(self._unary(depth + 1))
        if self._takes_keyword("NOT"):
            return Not(self._unary(depth + 1))
        if self._takes("("):
            inner = self.disjunction(depth + 1)
            self._expect(")")
            return inner
        return self._restriction()

    def _restriction(self) -> Filter:
        field = self._field()
        token = self._take()
        if token.kind is TokenKind.SYMBOL and token.text in _OPERATORS:
            return self._comparison(field, Operator(token.text), token)
        if token.kind is TokenKind.SYMBOL and token.text == ":":
            if field.kind is Kind.TEXT:
                return Contains(field, str(self._value(field)))
            return self._comparison(field, Operator.EQUAL, token)
        if token.kind is TokenKind.SYMBOL and token.text == "(" and field.kind in {Kind.ID, Kind.IDS, Kind.NAMES}:
            value = self._value(field)
            self._expect(")")
            return OneOf(field, (value,))
        if _is_keyword(token, "IN"):
            return self._one_of(field)
        if _is_keyword(token, "IS"):
            negated = self._takes_keyword("NOT")
            if not self._takes_keyword("NULL"):
                raise invalid(self._peek.position, "NULL")
            return Not(IsUnset(field)) if negated else IsUnset(field)
        raise invalid(token.position, "=, !=, <, <=, >, >=, :, IN or IS")

    def _comparison(self, field: Field, operator: Operator, sign: Token) -> Filter:
        if operator in {Operator.EQUAL, Operator.UNEQUAL} and self._takes_keyword("NULL"):
            return IsUnset(field) if operator is Operator.EQUAL else Not(IsUnset(field))
        ordered = operator not in {Operator.EQUAL, Operator.UNEQUAL}
        if ordered and (field.kind.has_many or field.kind in {Kind.ID, Kind.BOOLEAN}):
            raise invalid(sign.position, f"= or !=, for {field.name}")
        value = self._operand(field)
        if isinstance(value, Day):
            return _COMPARES_DAY[operator](field, value)
        if field.kind is Kind.ENUM:
            rank = field.choices.index(str(value))
            compares = COMPARES[operator]
            return OneOf(field, tuple(word for place, word in enumerate(field.choices) if compares(place, rank)))
        if field.kind.has_many:
            holds: Leaf = OneOf(field, (value,))
            return holds if operator is Operator.EQUAL else Not(holds)
        return Comparison(field, operator, value)

    def _one_of(self, field: Field) -> Filter:
        self._expect("(")
        values = [self._operand(field)]
        while self._takes(","):
            values.append(self._operand(field))
        self._expect(")")
        days = [_on(field, each) for each in values if isinstance(each, Day)]
        rest = tuple(dict.fromkeys(each for each in values if not isinstance(each, Day)))
        parts = (OneOf(field, rest), *days) if rest else tuple(days)
        return parts[0] if len(parts) == 1 else Or(parts)

    def _field(self) -> Field:
        token = self._take()
        if token.kind is not TokenKind.WORD or token.text.upper() in _KEYWORDS:
            raise invalid(token.position, "a field, NOT or (")
        if token.text not in self._schema:
            raise invalid(token.position, f"one of the fields {', '.join(self._schema)}")
        return self._schema[token.text]

    def _value(self, field: Field) -> Value:
        value = self._operand(field)
        if isinstance(value, Day):
            raise TypeError(field.name)
        return value

    def _operand(self, field: Field) -> Value | Day:
        self._values += 1
        token = self._take()
        if self._values > MAX_VALUES:
            raise invalid(token.position, f"at most {MAX_VALUES} values")
        if token.kind is TokenKind.MINUS and self._peek.kind is TokenKind.WORD:
            token = Token(TokenKind.WORD, "-" + self._take().text, token.position)
        return value_of(field, token, self._context)

    @property
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._peek
        if token.kind is not TokenKind.END:
            self._next += 1
        return token

    def _takes(self, symbol: str) -> bool:
        found = self._peek.kind is TokenKind.SYMBOL and self._peek.text == symbol
        self._next += found
        return found

    def _takes_keyword(self, keyword: str) -> bool:
        found = _is_keyword(self._peek, keyword)
        self._next += found
        return found

    def _expect(self, symbol: str) -> None:
        if not self._takes(symbol):
            raise invalid(self._peek.position, symbol)


def _on(field: Field, day: Day) -> Filter:
    return And((Comparison(field, Operator.AT_LEAST, day.first), Comparison(field, Operator.AT_MOST, day.last)))


def _not_on(field: Field, day: Day) -> Filter:
    return Or((Comparison(field, Operator.LESS, day.first), Comparison(field, Operator.GREATER, day.last)))


_COMPARES_DAY: Mapping[Operator, Callable[[Field, Day], Filter]] = {
    Operator.EQUAL: _on,
    Operator.UNEQUAL: _not_on,
    Operator.LESS: lambda field, day: Comparison(field, Operator.LESS, day.first),
    Operator.AT_MOST: lambda field, day: Comparison(field, Operator.AT_MOST, day.last),
    Operator.GREATER: lambda field, day: Comparison(field, Operator.GREATER, day.last),
    Operator.AT_LEAST: lambda field, day: Comparison(field, Operator.AT_LEAST, day.first),
}


def _is_keyword(token: Token, keyword: str) -> bool:
    return token.kind is TokenKind.WORD and token.text.upper() == keyword
