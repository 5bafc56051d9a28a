"""Properties of every message type of the contract, against google.protobuf.json_format."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rota.options.v1 import options_pb2
from rota_chassis.codec import DecodeError, decoder, encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

WORDS = st.from_regex(r"[a-z]{1,8}(_[a-z]{1,8}){0,2}", fullmatch=True)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = {
    32: (st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1)),
    64: (st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1)),
}
MOMENTS = st.datetimes(timezones=st.just(UTC))
PLAIN = st.recursive(
    st.none() | st.booleans() | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def fill_value(value: Any, plain: Any) -> None:
    if plain is None:
        value.null_value = 0
    elif isinstance(plain, bool):
        value.bool_value = plain
    elif isinstance(plain, str):
        value.string_value = plain
    elif isinstance(plain, dict):
        value.struct_value.SetInParent()
        for name, item in plain.items():
            fill_value(value.struct_value.fields[name], item)
    elif isinstance(plain, list):
        value.list_value.SetInParent()
        for item in plain:
            fill_value(value.list_value.values.add(), item)
    else:
        value.number_value = plain


def fill_struct(struct: Any, members: dict[str, Any]) -> None:
    for name, plain in members.items():
        fill_value(struct.fields[name], plain)


def fill_list(values: Any, items: list[Any]) -> None:
    for plain in items:
        fill_value(values.values.add(), plain)


SCALARS = {
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=12),
    FieldDescriptor.TYPE_DOUBLE: FINITE,
    # json_format prints single precision with eight digits; quarters are exact either way.
    FieldDescriptor.TYPE_FLOAT: st.integers(-4000, 4000).map(lambda number: number / 4),
}
WELL_KNOWN: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any, Any], object]]] = {
    "google.protobuf.Timestamp": (MOMENTS, lambda message, moment: message.FromDatetime(moment)),
    "google.protobuf.Duration": (
        st.integers(-(10**18), 10**18),
        lambda message, nanos: message.FromNanoseconds(nanos),
    ),
    "google.protobuf.FieldMask": (st.lists(WORDS, max_size=3), lambda message, paths: message.paths.extend(paths)),
    "google.protobuf.Struct": (
        st.dictionaries(TEXT, PLAIN, max_size=3),
        fill_struct,
    ),
    "google.protobuf.ListValue": (
        st.lists(PLAIN, max_size=3),
        fill_list,
    ),
}


def scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        # Zero is null in JSON, which stands for "not set", not for an item of a list or the value of a map.
        in_map = field.containing_type is not None and field.containing_type.GetOptions().map_entry
        zero_is_unset = not (field.is_repeated or field.has_presence or in_map)
        return st.sampled_from([value.number for value in field.enum_type.values if value.number or zero_is_unset])
    if field.type in SCALARS:
        return SCALARS[field.type]
    bits = 64 if field.cpp_type in {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64} else 32
    unsigned = field.cpp_type in {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
    return INTEGERS[bits][unsigned]


def draw_into(draw: st.DrawFn, message: Any, depth: int, *, in_field: bool) -> None:
    """Fill a message that is set; `in_field` ones of type Value are not null, since null there means absent."""
    message.SetInParent()
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Value":
        fill_value(message, draw(PLAIN.filter(lambda plain: plain is not None) if in_field else PLAIN))
    elif name in WELL_KNOWN:
        strategy, fill = WELL_KNOWN[name]
        fill(message, draw(strategy))
    elif fields := message.DESCRIPTOR.fields:
        chosen = draw(st.sets(st.sampled_from([field.name for field in fields])))
        for field in fields:
            if field.name in chosen:
                draw_field(draw, message, field, depth)


def draw_field(draw: st.DrawFn, message: Any, field: FieldDescriptor, depth: int) -> None:
    holder = getattr(message, field.name)
    size = draw(st.integers(0, 2)) if field.is_repeated else 1
    if field.message_type is not None and depth == 0 and field.message_type.full_name.endswith("Everything"):
        return
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        for _ in range(size):
            name = draw(scalars(key))
            if value.message_type is None:
                holder[name] = draw(scalars(value))
            elif depth or not value.message_type.full_name.endswith("Everything"):
                holder[name].Clear()
                draw_into(draw, holder[name], depth - 1, in_field=False)
    elif field.message_type is not None:
        for _ in range(size):
            draw_into(draw, holder.add() if field.is_repeated else holder, depth - 1, in_field=not field.is_repeated)
    elif field.is_repeated:
        holder.extend(draw(scalars(field)) for _ in range(size))
    else:
        setattr(message, field.name, draw(scalars(field)))


@st.composite
def messages(draw: st.DrawFn, message_class: type[Message]) -> Any:
    message = message_class()
    draw_into(draw, message, 1, in_field=True)
    return message


def expected(descriptor: Any, printed: Any) -> Any:
    """What json_format prints, brought into the form of the REST API by rules written here anew."""
    name = descriptor.full_name
    if name == "google.protobuf.Timestamp":
        return datetime.fromisoformat(printed).isoformat().replace("+00:00", "Z")
    if name == "google.protobuf.FieldMask":
        return "".join(f"_{char.lower()}" if char.isupper() else char for char in printed)
    if name.startswith("google.protobuf."):
        return printed
    if descriptor.GetOptions().Extensions[options_pb2.untagged]:
        return next(
            (expected(descriptor.fields_by_name[member].message_type, printed[member]) for member in printed), None
        )
    return {field.name: expected_field(field, printed.get(field.name)) for field in descriptor.fields}


def expected_field(field: FieldDescriptor, printed: Any) -> Any:
    if printed is None:
        return None
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        return {name: expected_value(value, item) for name, item in printed.items()}
    if field.is_repeated:
        return [expected_value(field, item) for item in printed]
    return expected_value(field, printed)


def expected_value(field: FieldDescriptor, printed: Any) -> Any:
    if field.message_type is not None:
        return expected(field.message_type, printed)
    if field.enum_type is not None:
        assert isinstance(printed, str)
        zero = field.enum_type.values_by_number[0].name
        word = printed.removeprefix(zero.removesuffix("UNSPECIFIED")).lower()
        return None if word == "unspecified" else word
    if field.cpp_type in {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}:
        return int(printed)
    return printed


def test_encoding_agrees_with_json_format(message_class: type[Message]) -> None:
    encode = encoder(message_class)

    @QUICK
    @given(messages(message_class))
    def check(message: Message) -> None:
        printed = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        assert encode(message) == expected(message.DESCRIPTOR, printed)

    check()


def is_only_in_answers(descriptor: Any, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a message is untagged, or holds one that is."""
    if descriptor.full_name in seen:
        return False
    below = (field.message_type for field in descriptor.fields if field.message_type is not None)
    return bool(descriptor.GetOptions().Extensions[options_pb2.untagged]) or any(
        is_only_in_answers(each, seen | {descriptor.full_name}) for each in below
    )


def test_decoding_what_was_encoded_gives_the_message_back(message_class: type[Message]) -> None:
    if is_only_in_answers(message_class.DESCRIPTOR):
        return
    encode, decode = encoder(message_class), decoder(message_class)

    @QUICK
    @given(messages(message_class))
    def check(message: Message) -> None:
        assert decode(orjson.loads(orjson.dumps(encode(message)))) == message

    check()


def test_any_json_is_decoded_or_refused_with_problems(message_class: type[Message]) -> None:
    decode = decoder(message_class)
    known = sorted({*(field.name for field in message_class.DESCRIPTOR.fields), "title", "http", "body"})
    names = st.sampled_from(known) | st.text(max_size=3)
    anything = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters(exclude_categories=[]), max_size=5)
        | st.sampled_from(["1s", "2026-01-02T03:04:05Z", "todo", "AA=="]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
        max_leaves=12,
    )

    @QUICK
    @given(st.dictionaries(st.sampled_from(known), anything, max_size=4) | anything)
    def check(body: Any) -> None:
        try:
            decoded = decode(body)
        except DecodeError as error:
            refused = error.problems
        else:
            assert message_class.FromString(decoded.SerializeToString()) == decoded
            return
        assert 1 <= len(refused) <= 20
        assert all(problem.pointer is not None and problem.detail for problem in refused)

    check()


def test_single_precision_numbers_keep_their_value(message_class: type[Message]) -> None:
    fields = [field for field in message_class.DESCRIPTOR.fields if field.type == FieldDescriptor.TYPE_FLOAT]
    encode, decode = encoder(message_class), decoder(message_class)
    number = struct.unpack("f", struct.pack("f", 0.1))[0]
    for field in fields:
        if not field.is_repeated:
            message = message_class(**{field.name: number})
            assert math.isclose(encode(message)[field.name], 0.1, rel_tol=1e-6)
            assert decode(encode(message)) == message
