"""Decoders of what travels as text beside the body: query parameters, path parameters and headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from rota_chassis.codec.decoding import INTEGER_BOUNDS
from rota_chassis.codec.instants import read_instant
from rota_chassis.codec.keys import parse_integer
from rota_chassis.codec.problems import DecodeError, Problems, unknown_name
from rota_chassis.codec.scalars import is_text, one_of
from rota_chassis.codec.words import enum_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from google.protobuf.message import Message

_TIMESTAMP = "google.protobuf.Timestamp"


def query_decoder(
    message_class: type[Message], fields: Iterable[str]
) -> Callable[[Iterable[tuple[str, str]], Message], None]:
    """A function that sets fields of a message from query parameters, given as (name, value) pairs, decoded.

    A repeated field takes a parameter any number of times, any other once. The function raises DecodeError, its
    problems naming their `parameter`.

    Raises:
        TypeError: a field has a type that a query parameter cannot have.
    """
    known: Any = message_class.DESCRIPTOR.fields_by_name
    descriptors = {name: known[name] for name in fields}
    readers = {name: _reader(field) for name, field in descriptors.items()}
    single = frozenset(name for name, field in descriptors.items() if not field.is_repeated)

    def decode(pairs: Iterable[tuple[str, str]], message: Message) -> None:
        problems = Problems()
        seen = set()
        for name, text in pairs:
            read = readers.get(name)
            if read is None:
                problems.add_parameter(name, "unknown_parameter", unknown_name("parameter", name, readers))
            elif name in seen and name in single:
                problems.add_parameter(name, "repeated_parameter", "must be given once")
            else:
                seen.add(name)
                _read(read, name, text, message, problems)
        if problems.found:
            raise DecodeError(problems.found)

    return decode


def parameter_decoder(
    message_class: type[Message], parameters: Mapping[str, str]
) -> Callable[[Mapping[str, str], Message], None]:
    """A function that sets fields of a message from path parameters or headers, where those are present.

    Args:
        message_class: the type of the message.
        parameters: field -> name of the parameter or header that carries it, as the values passed later are keyed.

    Raises:
        TypeError: a field has a type that a parameter cannot have.
    """
    known: Any = message_class.DESCRIPTOR.fields_by_name
    readers = [(name, _reader(known[field])) for field, name in parameters.items()]

    def decode(values: Mapping[str, str], message: Message) -> None:
        problems = Problems()
        for name, read in readers:
            text = values.get(name)
            if text is not None:
                _read(read, name, text, message, problems)
        if problems.found:
            raise DecodeError(problems.found)

    return decode


def _read(read: Callable[[str, Any, Problems], None], name: str, text: str, message: Message, into: Problems) -> None:
    problems = Problems()
    read(text, message, problems)
    for problem in problems.found:
        into.add_parameter(name, problem.code, problem.detail)


def _reader(field: FieldDescriptor) -> Callable[[str, Any, Problems], None]:
    name = field.name
    if field.message_type is not None:
        if field.message_type.full_name != _TIMESTAMP or field.is_repeated:
            raise TypeError(f"{field.full_name} cannot be a parameter; only scalars, enums and timestamps can")
        return lambda text, message, problems: read_instant(text, getattr(message, name), "", problems)
    convert = _converter(field)

    def read(text: str, message: Any, problems: Problems) -> None:
        value = convert(text, problems)
        if value is None:
            return
        if field.is_repeated:
            getattr(message, name).append(value)
        else:
            setattr(message, name, value)

    return read


def _converter(field: FieldDescriptor) -> Callable[[str, Problems], Any]:
    if field.enum_type is not None:
        words = enum_words(field.enum_type)
        return lambda text, problems: _word(text, words, problems)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _boolean
    if field.type == FieldDescriptor.TYPE_STRING:
        return lambda text, problems: text if is_text(text, "", problems) else None
    if field.type in INTEGER_BOUNDS:
        low, high = INTEGER_BOUNDS[field.type]
        return lambda text, problems: _integer(text, low, high, problems)
    raise TypeError(f"{field.full_name} cannot be a parameter; only text, integers, booleans and enums can")


def _word(text: str, words: Mapping[str, int], problems: Problems) -> int | None:
    number = words.get(text)
    if number is None:
        problems.add("", "invalid_enum", one_of(words))
    return number


def _boolean(text: str, problems: Problems) -> bool | None:
    if text in {"true", "false"}:
        return text == "true"
    problems.add("", "wrong_type", "must be `true` or `false`")
    return None


def _integer(text: str, low: int, high: int, problems: Problems) -> int | None:
    number = parse_integer(text)
    if number is None:
        problems.add("", "wrong_type", "must be a whole number")
    elif not low <= number <= high:
        problems.add("", "out_of_range", f"must be within {low} and {high}")
        number = None
    return number
