"""The message types of google.protobuf that have a JSON form of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import NULL_VALUE

from rota_chassis.codec import instants
from rota_chassis.codec.problems import token
from rota_chassis.codec.scalars import is_text, json_number, read_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.field_mask_pb2 import FieldMask
    from google.protobuf.struct_pb2 import ListValue, Struct, Value

    from rota_chassis.codec.problems import Problems

# Levels of objects and lists in a document.
MAX_DEPTH = 64

# Protobuf's parsers refuse messages nested deeper than 100 levels. A JSON object within a Value takes three of them
# (Value, Struct, map entry), a list two; the rest is room for the messages that carry the document onwards.
_MAX_WIRE_DEPTH = 88
_OBJECT_WIRE_LEVELS = 3
_LIST_WIRE_LEVELS = 2
_TOO_DEEP = "is nested too deeply"

_MASK_PATH = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*")


def value_json(value: Value) -> Any:
    """Plain JSON of a Value; null when no kind is set.

    Raises:
        ValueError: it holds a number that is not finite.
    """
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return json_number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return struct_json(value.struct_value)
    if kind == "list_value":
        return list_json(value.list_value)
    return None


def struct_json(struct: Struct) -> dict[str, Any]:
    """Plain JSON of a Struct."""
    return {name: value_json(value) for name, value in struct.fields.items()}


def list_json(values: ListValue) -> list[Any]:
    """Plain JSON of a ListValue."""
    return [value_json(value) for value in values.values]


def mask_text(mask: FieldMask) -> str:
    """The paths, comma-joined."""
    return ",".join(mask.paths)


def read_value(json: Any, target: Value, pointer: str, depth: int, problems: Problems) -> None:
    """Set `target` from any JSON; `depth` is how deep the document is where `json` stands."""
    if type(json) is dict:
        read_struct(json, target.struct_value, pointer, depth, problems)
    elif type(json) is list:
        read_list(json, target.list_value, pointer, depth, problems)
    else:
        _read_value(json, target, pointer, depth, problems)


def read_struct(json: Any, target: Struct, pointer: str, depth: int, problems: Problems) -> None:
    """Set `target` from a JSON object."""
    if type(json) is not dict:
        problems.add(pointer, "wrong_type", "must be an object")
    elif depth > MAX_DEPTH:
        problems.add(pointer, "too_deep", _TOO_DEEP)
    else:
        _read_members(json, target, pointer, depth, problems)


def read_list(json: Any, target: ListValue, pointer: str, depth: int, problems: Problems) -> None:
    """Set `target` from a JSON list."""
    if type(json) is not list:
        problems.add(pointer, "wrong_type", "must be a list")
    elif depth > MAX_DEPTH:
        problems.add(pointer, "too_deep", _TOO_DEEP)
    else:
        _read_items(json, target, pointer, depth, problems)


def _read_value(json: Any, target: Value, pointer: str, wire_depth: int, problems: Problems) -> None:
    if json is None:
        target.null_value = NULL_VALUE
    elif type(json) is str:
        if is_text(json, pointer, problems):
            target.string_value = json
    elif json is True or json is False:
        target.bool_value = json
    elif type(json) is dict:
        _read_members(json, target.struct_value, pointer, wire_depth, problems)
    elif type(json) is list:
        _read_items(json, target.list_value, pointer, wire_depth, problems)
    elif (number := read_number(json, pointer, problems)) is not None:
        target.number_value = number


def _read_members(json: dict[str, Any], target: Struct, pointer: str, wire_depth: int, problems: Problems) -> None:
    if wire_depth > _MAX_WIRE_DEPTH:
        problems.add(pointer, "too_deep", _TOO_DEEP)
        return
    target.SetInParent()
    fields = target.fields
    for name, value in json.items():
        place = f"{pointer}/{token(name)}"
        if is_text(name, place, problems):
            _read_value(value, fields[name], place, wire_depth + _OBJECT_WIRE_LEVELS, problems)


def _read_items(json: list[Any], target: ListValue, pointer: str, wire_depth: int, problems: Problems) -> None:
    if wire_depth > _MAX_WIRE_DEPTH:
        problems.add(pointer, "too_deep", _TOO_DEEP)
        return
    target.SetInParent()
    add = target.values.add
    for index, value in enumerate(json):
        _read_value(value, add(), f"{pointer}/{index}", wire_depth + _LIST_WIRE_LEVELS, problems)


def _read_instant(json: Any, target: Any, pointer: str, depth: int, problems: Problems) -> None:  # noqa: ARG001
    instants.read_instant(json, target, pointer, problems)


def _read_duration(json: Any, target: Any, pointer: str, depth: int, problems: Problems) -> None:  # noqa: ARG001
    instants.read_duration(json, target, pointer, problems)


def _read_mask(json: Any, target: FieldMask, pointer: str, depth: int, problems: Problems) -> None:  # noqa: ARG001
    if type(json) is not str:
        problems.add(pointer, "wrong_type", "must be a string, field names joined by commas")
        return
    paths = json.split(",") if json else []
    if all(_MASK_PATH.fullmatch(path) for path in paths):
        target.SetInParent()
        target.paths.extend(paths)
    else:
        problems.add(pointer, "invalid_field_mask", "must be field names joined by commas")


WRITERS: dict[str, Callable[[Any], Any]] = {
    "google.protobuf.Duration": instants.duration_text,
    "google.protobuf.FieldMask": mask_text,
    "google.protobuf.ListValue": list_json,
    "google.protobuf.Struct": struct_json,
    "google.protobuf.Timestamp": instants.instant_text,
    "google.protobuf.Value": value_json,
}

READERS: dict[str, Callable[[Any, Any, str, int, Problems], None]] = {
    "google.protobuf.Duration": _read_duration,
    "google.protobuf.FieldMask": _read_mask,
    "google.protobuf.ListValue": read_list,
    "google.protobuf.Struct": read_struct,
    "google.protobuf.Timestamp": _read_instant,
    "google.protobuf.Value": read_value,
}


def is_well_known(full_name: str) -> bool:
    """Whether a message type has a JSON form of its own.

    Raises:
        TypeError: it is one of google.protobuf's that the REST form does not define, such as Any.
    """
    if full_name.startswith("google.protobuf.") and full_name not in WRITERS:
        raise TypeError(f"{full_name} has no JSON form here; use a message of your own")
    return full_name in WRITERS
