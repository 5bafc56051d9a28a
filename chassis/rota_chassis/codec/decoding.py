"""Decoders: one generated function per message type, a block of straight code for each field.

A generated `read_N(body, message, at, depth, problems)` fills `message` from the JSON value `body`, which stands at the
pointer `at`, `depth` levels deep. The common case of each field is tested inline; everything else is left to
functions that find out what is wrong.
"""

from __future__ import annotations

from functools import cache, partial
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from rota.options.v1 import options_pb2

from rota_chassis.codec import scalars
from rota_chassis.codec.keys import read_bool_key, read_integer_key
from rota_chassis.codec.problems import DecodeError, Problems, token
from rota_chassis.codec.untagged import is_untagged
from rota_chassis.codec.wellknown import MAX_DEPTH, READERS, is_well_known
from rota_chassis.codec.words import enum_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor, OneofDescriptor
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

_SIGNED_32 = (-(2**31), 2**31 - 1)
_SIGNED_64 = (-(2**63), 2**63 - 1)
INTEGER_BOUNDS = {
    FieldDescriptor.TYPE_INT32: _SIGNED_32,
    FieldDescriptor.TYPE_SINT32: _SIGNED_32,
    FieldDescriptor.TYPE_SFIXED32: _SIGNED_32,
    FieldDescriptor.TYPE_INT64: _SIGNED_64,
    FieldDescriptor.TYPE_SINT64: _SIGNED_64,
    FieldDescriptor.TYPE_SFIXED64: _SIGNED_64,
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}
_CONVERTERS = {
    FieldDescriptor.TYPE_BYTES: "read_bytes",
    FieldDescriptor.TYPE_DOUBLE: "read_number",
    FieldDescriptor.TYPE_FLOAT: "read_float32",
}
_RUNTIME = {
    "MAX_DEPTH": MAX_DEPTH,
    "is_text": scalars.is_text,
    "read_bool": scalars.read_bool,
    "read_bool_key": read_bool_key,
    "read_bytes": scalars.read_bytes,
    "read_float32": scalars.read_float32,
    "read_integer": scalars.read_integer,
    "read_integer_key": read_integer_key,
    "read_number": scalars.read_number,
    "refuse_word": scalars.refuse_word,
    "token": token,
}


def decoder(
    message_class: type[M], *, exclude: frozenset[str] = frozenset(), lenient: bool = False
) -> Callable[[Any], M]:
    """A function from parsed JSON to a message; it raises DecodeError and nothing else, whatever JSON it is given.

    Args:
        message_class: what to decode to.
        exclude: top-level fields that the body must not have, since they travel elsewhere.
        lenient: whether members that the message type does not have are passed over, at every level, rather than wrong.

    Raises:
        TypeError: the message type uses google.protobuf.Any or a wrapper type.
    """
    read = _reader(message_class.DESCRIPTOR, exclude, lenient=lenient)

    def decode(body: Any) -> M:
        message = message_class()
        problems = Problems()
        read(body, message, "", 1, problems)
        if problems.found:
            raise DecodeError(problems.found)
        return message

    return decode


def member_names(body: Any, message: Descriptor) -> tuple[str, ...]:
    """The members of a decoded merge patch (RFC 7396), null ones included: the paths of its field mask.

    A map is patched entry by entry: each entry has a path of its own, `fields.<key>`.
    """
    if type(body) is not dict:
        return ()
    names = []
    for name, value in body.items():
        field = message.fields_by_name[name]
        if type(value) is dict and field.message_type is not None and field.message_type.GetOptions().map_entry:
            names += [f"{name}.{key}" for key in value]
        else:
            names.append(name)
    return tuple(names)


def _patched(message: Descriptor, body: dict[str, Any]) -> tuple[str, ...]:
    return member_names({name: body[name] for name in body if name in message.fields_by_name}, message)


def is_update_mask(field: FieldDescriptor) -> bool:
    """Whether it names the members that a merge patch has (`rota.options.v1.field`)."""
    return bool(field.GetOptions().Extensions[options_pb2.field].update_mask)


def is_real_oneof(oneof: OneofDescriptor) -> bool:
    """Whether a oneof was written as one; proto3 makes one behind every `optional` field."""
    return oneof.name != f"_{oneof.fields[0].name}"


@cache
def _reader(
    message: Descriptor, exclude: frozenset[str], *, lenient: bool
) -> Callable[[Any, Any, str, int, Problems], None]:
    return _Compiler(lenient=lenient).compile(message, exclude)


class _Compiler:
    """Generates the decoders of one message type and of every type it reaches, recursive ones included."""

    def __init__(self, *, lenient: bool) -> None:
        self._lenient = lenient
        self._functions: dict[str, str] = {}
        self._source: list[str] = []
        self._names: dict[str, Any] = dict(_RUNTIME)

    def compile(self, message: Descriptor, exclude: frozenset[str]) -> Callable[[Any, Any, str, int, Problems], None]:
        if is_well_known(message.full_name):
            return READERS[message.full_name]
        self._source += self._body("read", message, exclude)
        code = compile("\n".join(self._source), f"<decoder of {message.full_name}>", "exec")
        exec(code, self._names)  # noqa: S102 (source made above, of names that protoc has checked)
        read: Callable[[Any, Any, str, int, Problems], None] = self._names["read"]
        return read

    def _function(self, message: Descriptor) -> str:
        if message.full_name not in self._functions:
            name = f"read_{len(self._functions)}"
            self._functions[message.full_name] = name
            if is_well_known(message.full_name):
                self._names[name] = READERS[message.full_name]
            else:
                self._source += [*self._body(name, message, frozenset())[:-1], *self._mask(message), ""]
        return self._functions[message.full_name]

    def _constant(self, prefix: str, value: Any) -> str:
        name = f"{prefix}_{len(self._names)}"
        self._names[name] = value
        return name

    def _body(self, name: str, message: Descriptor, exclude: frozenset[str]) -> list[str]:
        if is_untagged(message):
            refuse = "    problems.add(at, 'only_in_answers', 'is only in answers')"
            return [f"def {name}(body, message, at, depth, problems):", refuse, ""]
        fields = [field for field in message.fields if field.name not in exclude]
        known = self._constant("known", frozenset(field.name for field in fields))
        lines = [
            f"def {name}(body, message, at, depth, problems):",
            "    if type(body) is not dict:",
            "        problems.add(at, 'wrong_type', 'must be an object')",
            "        return",
            "    if depth > MAX_DEPTH:",
            "        problems.add(at, 'too_deep', 'is nested too deeply')",
            "        return",
            "    get = body.get",
        ]
        if not self._lenient:
            lines[-1:-1] = [
                f"    if not body.keys() <= {known}:",
                f"        problems.unknown_members(body, {known}, at)",
            ]
        lines += [f"    chosen_{oneof.name} = None" for oneof in message.oneofs if is_real_oneof(oneof)]
        for field in fields:
            lines += [f"    value = get({field.name!r})", "    if value is not None:", *_indent(2, self._field(field))]
        return [*lines, ""]

    def _mask(self, message: Descriptor) -> list[str]:
        """Of a merge patch in another message: its mask, unless it is given, names the members that are there."""
        masks = [field.name for field in message.fields if is_update_mask(field)]
        if not masks:
            return []
        patched = self._constant("patched", partial(_patched, message))
        return [f"    if {mask!r} not in body:\n        message.{mask}.paths.extend({patched}(body))" for mask in masks]

    def _field(self, field: FieldDescriptor) -> list[str]:
        member = f"getattr(message, {field.name!r})" if iskeyword(field.name) else f"message.{field.name}"
        place = f"at + '/{field.name}'"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(field.name, field.message_type, member, place)
        if field.is_repeated:
            return self._list(field, member, place)
        if field.message_type is not None:
            lines = self._message(field.message_type, member, place, "depth + 1")
        elif iskeyword(field.name):
            lines = self._scalar(field, f"setattr(message, {field.name!r}, {{}})", place)
        else:
            lines = self._scalar(field, member + " = {}", place)
        oneof = field.containing_oneof
        return lines if oneof is None or not is_real_oneof(oneof) else _in_oneof(field, oneof, place, lines)

    def _list(self, field: FieldDescriptor, member: str, place: str) -> list[str]:
        item_place = f"f'{{at}}/{field.name}/{{index}}'"
        if field.message_type is not None:
            item = self._message(field.message_type, "add()", item_place, "depth + 2", "item")
            store = f"add = {member}.add"
        else:
            item = self._scalar(field, "add({})", item_place, "item")
            store = f"add = {member}.append"
        return [
            "if type(value) is list:",
            f"    {store}",
            "    for index, item in enumerate(value):",
            *_indent(2, item),
            "else:",
            f"    problems.add({place}, 'wrong_type', 'must be a list')",
        ]

    def _map(self, name: str, entry: Descriptor, member: str, place: str) -> list[str]:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        item_place = f"f'{{at}}/{name}/{{token(name)}}'"
        if key.type == FieldDescriptor.TYPE_STRING:
            check, stored = f"if is_text(name, {item_place}, problems):", "name"
        elif key.type == FieldDescriptor.TYPE_BOOL:
            check, stored = f"if (key := read_bool_key(name, {item_place}, problems)) is not None:", "key"
        else:
            low, high = INTEGER_BOUNDS[key.type]
            check = f"if (key := read_integer_key(name, {low}, {high}, {item_place}, problems)) is not None:"
            stored = "key"
        if value.message_type is not None:
            item = self._message(value.message_type, f"items[{stored}]", item_place, "depth + 2", "item")
            if not is_well_known(value.message_type.full_name):
                # As of a field, null says that there is none; in a merge patch it takes the entry away.
                item = ["if item is not None:", *_indent(1, item)]
        else:
            item = self._scalar(value, f"items[{stored}] = {{}}", item_place, "item")
        return [
            "if type(value) is dict:",
            f"    items = {member}",
            "    for name, item in value.items():",
            f"        {check}",
            *_indent(3, item),
            "else:",
            f"    problems.add({place}, 'wrong_type', 'must be an object')",
        ]

    def _message(self, message: Descriptor, target: str, place: str, depth: str, value: str = "value") -> list[str]:
        read = self._function(message)
        if is_well_known(message.full_name):
            return [f"{read}({value}, {target}, {place}, {depth}, problems)"]
        return [
            f"child = {target}",
            "child.SetInParent()",
            f"{read}({value}, child, {place}, {depth}, problems)",
        ]

    def _scalar(self, field: FieldDescriptor, store: str, place: str, value: str = "value") -> list[str]:
        stored = store.format(value)
        if field.type == FieldDescriptor.TYPE_STRING:
            plain = f"type({value}) is str and {value}.isascii() and '\\0' not in {value}"
            return [f"if {plain} or is_text({value}, {place}, problems):", f"    {stored}"]
        if field.type == FieldDescriptor.TYPE_BOOL:
            return [
                f"if {value} is True or {value} is False or read_bool({value}, {place}, problems) is not None:",
                f"    {stored}",
            ]
        if field.enum_type is not None:
            words = self._constant("words", dict(enum_words(field.enum_type)))
            return [
                f"if type({value}) is str and (number := {words}.get({value})) is not None:",
                f"    {store.format('number')}",
                "else:",
                f"    refuse_word({value}, {words}, {place}, problems)",
            ]
        if field.type in INTEGER_BOUNDS:
            low, high = INTEGER_BOUNDS[field.type]
            return [
                f"if type({value}) is int and {low} <= {value} <= {high}:",
                f"    {stored}",
                f"elif (number := read_integer({value}, {low}, {high}, {place}, problems)) is not None:",
                f"    {store.format('number')}",
            ]
        return [
            f"if (converted := {_CONVERTERS[field.type]}({value}, {place}, problems)) is not None:",
            f"    {store.format('converted')}",
        ]


def _in_oneof(field: FieldDescriptor, oneof: OneofDescriptor, place: str, lines: list[str]) -> list[str]:
    names = ", ".join(f"`{member.name}`" for member in oneof.fields)
    return [
        f"if chosen_{oneof.name} is None:",
        f"    chosen_{oneof.name} = {field.name!r}",
        *_indent(1, lines),
        "else:",
        f"    problems.add({place}, 'oneof_conflict', {f'only one of {names} may be given'!r})",
    ]


def _indent(levels: int, lines: list[str]) -> list[str]:
    return ["    " * levels + line for line in lines]
