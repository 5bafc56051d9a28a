"""Schemas of messages, in two forms: what an answer has, and what a request may have.

An answer has every member, null where a message, an enum or an optional scalar is not set. A request may leave out, or
give as null, whatever is not required, and may have nothing else.
"""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import product
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from rota_chassis.codec import enum_words, is_untagged

from rota_gateway.openapi import constraints
from rota_gateway.routes import field_options

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from google.protobuf.descriptor import Descriptor

Schema = dict[str, Any]

_FLOATS = frozenset({FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT})
WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {
        "type": "string",
        "pattern": "^([a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*)*(,[a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*)*)*)?$",
    },
    "google.protobuf.ListValue": {"type": "array", "items": {"$ref": "#/components/schemas/Json"}},
    "google.protobuf.Struct": {
        "type": "object",
        "propertyNames": {"pattern": constraints.TEXT_PATTERN},
        "additionalProperties": {"$ref": "#/components/schemas/Json"},
    },
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Value": {"$ref": "#/components/schemas/Json"},
}
_JSON: Schema = {
    "description": "Any JSON, at most about twenty levels deep.",
    "anyOf": [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "number"},
        {"type": "string", "pattern": constraints.TEXT_PATTERN},
        WELL_KNOWN["google.protobuf.ListValue"],
        WELL_KNOWN["google.protobuf.Struct"],
    ],
}
_SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}


class Schemas:
    """The schemas of a document, each message's under a name of its own.

    Attributes:
        components: name -> schema, filled as messages are referred to.
    """

    def __init__(self, comments: Mapping[str, str]) -> None:
        self.components: dict[str, Schema] = {"Json": _JSON}
        self._comments = comments
        self._names: dict[str, tuple[str, frozenset[str], bool]] = {}

    def answer(self, message: Descriptor | Any) -> Schema:
        """A reference to what an answer has."""
        return self._refer(message, frozenset(), message.name, request=False)

    def request(self, message: Descriptor, exclude: frozenset[str] = frozenset()) -> Schema:
        """A reference to what a request may have, without the fields that travel elsewhere."""
        name = message.name if message.name.endswith("Request") else f"{message.name}Input"
        return self._refer(message, exclude, name, request=True)

    def has_required(self, reference: Schema) -> bool:
        """Whether whatever meets a schema that `request` returned has some member."""
        schema = self.components[reference["$ref"].rpartition("/")[2]]
        return all("required" in branch for branch in schema.get("oneOf", [schema]))

    def answer_field(self, field: FieldDescriptor) -> Schema:
        """What an answer has for a field."""
        return self._field(field, request=False, nullable=self._is_null_when_unset(field))

    def parameter(self, field: FieldDescriptor) -> Schema:
        """What a parameter may be; its description is the parameter's business."""
        schema = self._field(field, request=True, nullable=False)
        return {keyword: value for keyword, value in schema.items() if keyword != "description"}

    def _refer(self, message: Descriptor, exclude: frozenset[str], name: str, *, request: bool) -> Schema:
        identity = (message.full_name, exclude, request)
        unique, count = name, 1
        while self._names.get(unique, identity) != identity:
            count += 1
            unique = f"{name}{count}"
        if unique not in self._names:
            self._names[unique] = identity
            # The name is taken before the members are described, so that a type may refer to itself.
            self.components[unique] = {}
            build = self._request if request else self._answer
            self.components[unique].update(build(message, exclude))
        return {"$ref": f"#/components/schemas/{unique}"}

    def _answer(self, message: Descriptor, exclude: frozenset[str]) -> Schema:
        fields = [field for field in message.fields if field.name not in exclude]
        if is_untagged(message):
            members = [self.answer(field.message_type) for field in fields]
            return self._described(message.full_name, {"anyOf": members})
        properties = {field.name: self.answer_field(field) for field in fields}
        schema = self._described(message.full_name, {"type": "object", "properties": properties})
        return {**schema, "required": list(properties)} if properties else schema

    def _request(self, message: Descriptor, exclude: frozenset[str]) -> Schema:
        fields = [field for field in message.fields if field.name not in exclude]
        required = [field.name for field in fields if constraints.is_required(field)]
        properties = {
            field.name: self._field(
                field, request=True, nullable=field.name not in required and not field_options(field).not_cleared
            )
            for field in fields
        }
        groups = constraints.message_oneofs(message)
        branches = []
        for choice in product(*(_choices(*group) for group in groups)):
            chosen = [name for name in choice if name is not None]
            barred = {name for names, _ in groups for name in names} - set(chosen)
            members = {
                name: _unset(message.fields_by_name[name])
                if name in barred
                else self._member(message, name, chosen, schema)
                for name, schema in properties.items()
            }
            branches.append(_closed_object(members, [*required, *chosen]))
        if len(branches) == 1:
            return self._described(message.full_name, branches[0])
        return self._described(message.full_name, {"oneOf": branches})

    def _member(self, message: Descriptor, name: str, chosen: Collection[str], schema: Schema) -> Schema:
        if name not in chosen:
            return schema
        member = self._field(message.fields_by_name[name], request=True, nullable=False)
        return {"minItems": 1, **member} if message.fields_by_name[name].is_repeated else member

    def _field(self, field: FieldDescriptor, *, request: bool, nullable: bool) -> Schema:
        rules = constraints.rules_of(field)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            schema: Schema = {"type": "object"}
            each = self._value(value, rules.map.values, request=request)
            if request and value.message_type is not None and value.message_type.full_name not in WELL_KNOWN:
                each = _nullable(each)
            schema |= {"additionalProperties": each}
            schema |= constraints.map_keywords(rules.map) if request else {}
        elif field.is_repeated:
            schema = {"type": "array", "items": self._value(field, rules.repeated.items, request=request)}
            schema |= constraints.list_keywords(rules.repeated) if request else {}
        else:
            schema = self._value(field, rules, request=request)
        options = field_options(field)
        if options.sensitive:
            schema |= {"format": "password", "writeOnly": True} if request else {"format": "password"}
        if nullable:
            schema = _nullable(schema)
        if options.example:
            schema["examples"] = [json.loads(options.example)]
        return self._described(field.full_name, schema)

    def _value(self, field: FieldDescriptor, rules: Any, *, request: bool) -> Schema:
        if field.message_type is not None:
            name = field.message_type.full_name
            if name in WELL_KNOWN:
                return dict(WELL_KNOWN[name])
            if not request:
                return self.answer(field.message_type)
            # Within a body every field of a message is in the body, also those that a request by itself has elsewhere.
            name = f"{field.message_type.name.removesuffix('Request')}Input"
            return self._refer(field.message_type, frozenset(), name, request=True)
        if field.enum_type is not None:
            words = enum_words(field.enum_type)
            return {"type": "string", "enum": constraints.allowed_words(field, words) if request else list(words)}
        if field.type == FieldDescriptor.TYPE_STRING:
            return self._text(field, rules, request=request)
        return dict(_SCALARS.get(field.type) or _number(field, rules, request=request))

    def _text(self, field: FieldDescriptor, rules: Any, *, request: bool) -> Schema:
        if not request:
            return {"type": "string"}
        if field_options(field).time_zone:
            self.components.setdefault("TimeZone", {"type": "string", "enum": _time_zones()})
            return {"$ref": "#/components/schemas/TimeZone"}
        return {"type": "string", **constraints.text_keywords(rules.string)}

    def _is_null_when_unset(self, field: FieldDescriptor) -> bool:
        return field.has_presence or (field.enum_type is not None and not field.is_repeated)

    def _described(self, full_name: str, schema: Schema) -> Schema:
        comment = self._comments.get(full_name)
        return {"description": comment.replace("\n", " "), **schema} if comment else schema


def _number(field: FieldDescriptor, rules: Any, *, request: bool) -> Schema:
    if field.type in _FLOATS:
        kind = rules.WhichOneof("type") if request else None
        return {"type": "number", **(constraints.number_keywords(getattr(rules, kind)) if kind else {})}
    keywords = constraints.integer_keywords(field, rules)
    return {"type": "integer", **(keywords if request else {"format": keywords["format"]})}


def _time_zones() -> list[str]:
    """The IANA zones of the pinned tzdata, not of this machine, so that the document is the same everywhere."""
    return files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()


def _unset(field: FieldDescriptor) -> Schema:
    return {"type": ["array", "null"], "maxItems": 0} if field.is_repeated else {"type": "null"}


def _choices(names: tuple[str, ...], required: bool) -> tuple[str | None, ...]:  # noqa: FBT001 (one of a pair)
    return names if required else (*names, None)


def _closed_object(properties: Mapping[str, Schema], required: list[str]) -> Schema:
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _nullable(schema: Schema) -> Schema:
    if schema == WELL_KNOWN["google.protobuf.Value"]:
        return schema
    if "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    nullable = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable
