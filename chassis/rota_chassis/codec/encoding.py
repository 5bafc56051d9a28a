"""Encoders: one generated function per message type, a dict display with an expression for each field."""

from __future__ import annotations

from functools import cache
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor

from rota_chassis.codec.scalars import bytes_text, finite
from rota_chassis.codec.untagged import is_untagged
from rota_chassis.codec.wellknown import WRITERS, is_well_known
from rota_chassis.codec.words import enum_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor, EnumDescriptor
    from google.protobuf.message import Message

_FLOATS = frozenset({FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT})


M = TypeVar("M", bound="Message")


def encoder(message_class: type[M]) -> Callable[[M], Any]:
    """A function from a message to JSON-ready Python: a dict with every member, except for well-known types.

    The function raises ValueError for a message that JSON cannot express: a number that is not finite, or a timestamp
    outside the years 1 to 9999. An enum number that this build has no word for is written as null.

    Raises:
        TypeError: the message type uses google.protobuf.Any or a wrapper type.
    """
    return _encoder(message_class.DESCRIPTOR)


@cache
def _encoder(message: Descriptor) -> Callable[[Any], Any]:
    return _Compiler().compile(message)


class _Compiler:
    """Generates the encoders of one message type and of every type it reaches, recursive ones included."""

    def __init__(self) -> None:
        self._functions: dict[str, str] = {}
        self._source: list[str] = []
        self._names: dict[str, Any] = {"finite": finite, "bytes_text": bytes_text}

    def compile(self, message: Descriptor) -> Callable[[Any], Any]:
        function = self._function(message)
        code = compile("\n".join(self._source), f"<encoder of {message.full_name}>", "exec")
        exec(code, self._names)  # noqa: S102 (source made above, of names that protoc has checked)
        encode: Callable[[Any], Any] = self._names[function]
        return encode

    def _function(self, message: Descriptor) -> str:
        if message.full_name not in self._functions:
            name = f"encode_{len(self._functions)}"
            self._functions[message.full_name] = name
            if is_well_known(message.full_name):
                self._names[name] = WRITERS[message.full_name]
            else:
                self._source += self._body(name, message)
        return self._functions[message.full_name]

    def _body(self, name: str, message: Descriptor) -> list[str]:
        if is_untagged(message):
            return self._untagged(name, message)
        lines = [f"def {name}(message):"]
        if any(field.has_presence for field in message.fields):
            lines.append("    has = message.HasField")
        lines.append("    return {")
        lines += [f"        {field.name!r}: {self._field(field)}," for field in message.fields]
        return [*lines, "    }", ""]

    def _untagged(self, name: str, message: Descriptor) -> list[str]:
        lines = [f"def {name}(message):", f"    member = message.WhichOneof({message.oneofs[0].name!r})"]
        for field in message.fields:
            lines += [
                f"    if member == {field.name!r}:",
                f"        return {self._value(field, f'message.{field.name}')}",
            ]
        return [*lines, "    return None", ""]

    def _field(self, field: FieldDescriptor) -> str:
        member = f"getattr(message, {field.name!r})" if iskeyword(field.name) else f"message.{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(field.message_type, member)
        if field.is_repeated:
            item = self._value(field, "item")
            # Asking whether there is anything costs a third of copying what is not there.
            copied = "items[:]" if item == "item" else f"[{item} for item in items]"
            return f"({copied} if (items := {member}) else [])"
        value = self._value(field, member)
        return f"{value} if has({field.name!r}) else None" if field.has_presence else value

    def _map(self, entry: Descriptor, member: str) -> str:
        key, value = entry.fields_by_name["key"], self._value(entry.fields_by_name["value"], "value")
        if key.type == FieldDescriptor.TYPE_BOOL:
            name = "('true' if key else 'false')"
        else:
            name = "key" if key.type == FieldDescriptor.TYPE_STRING else "str(key)"
        return f"({{{name}: {value} for key, value in pairs.items()}} if (pairs := {member}) else {{}})"

    def _value(self, field: FieldDescriptor, value: str) -> str:
        if field.message_type is not None:
            return f"{self._function(field.message_type)}({value})"
        if field.enum_type is not None:
            return f"{self._word(field.enum_type)}({value})"
        if field.type in _FLOATS:
            return f"finite({value})"
        return f"bytes_text({value})" if field.type == FieldDescriptor.TYPE_BYTES else value

    def _word(self, enum: EnumDescriptor) -> str:
        name = "word_of_" + enum.full_name.replace(".", "_")
        self._names[name] = {number: word for word, number in enum_words(enum).items()}.get
        return name
