"""Rules of buf.validate as keywords of JSON Schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import Descriptor

# The decoder refuses U+0000, which PostgreSQL's text cannot hold.
TEXT_PATTERN = r"^[^\u0000]*$"
# A text with anything but white space in it, as one pattern: generators follow one better than a conjunction.
_PATTERNS = {r"\S": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}
# A day as protos write it, which a format says better than a pattern: also that February has no 30th.
_DAY = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
# HTML's notion of an address, which is protovalidate's. Format "email" (RFC 5321) would say something else: it admits
# quoted local parts and IP literals, and no local part that begins with a dot.
_EMAIL_PATTERN = (
    r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)
_FORMATS: Mapping[str, Mapping[str, str]] = {
    "email": {"pattern": _EMAIL_PATTERN},
    "hostname": {"format": "hostname"},
    "ipv4": {"format": "ipv4"},
    "ipv6": {"format": "ipv6"},
    "uri": {"format": "uri"},
    "uri_ref": {"format": "uri-reference"},
    "uuid": {"format": "uuid"},
}
_INTEGER_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: ("int64", -(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: ("uint32", 0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: ("uint64", 0, 2**64 - 1),
}
_COMPARISONS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}


def rules_of(field: FieldDescriptor) -> Any:
    """The buf.validate.FieldRules of a field; empty when it has none."""
    return field.GetOptions().Extensions[validate_pb2.field]


def message_oneofs(message: Descriptor) -> tuple[tuple[tuple[str, ...], bool], ...]:
    """Groups of fields of which at most one may be set, each with whether one must be.

    Those are the oneofs of a message and its buf.validate.message.oneof rules.
    """
    groups = []
    for oneof in message.oneofs:
        if oneof.name != f"_{oneof.fields[0].name}":
            required = oneof.GetOptions().Extensions[validate_pb2.oneof].required
            groups.append((tuple(field.name for field in oneof.fields), required))
    rules = message.GetOptions().Extensions[validate_pb2.message]
    groups += [(tuple(rule.fields), rule.required) for rule in rules.oneof]
    return tuple(groups)


def is_required(field: FieldDescriptor) -> bool:
    """Whether a request must have the field."""
    behavior = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return bool(rules_of(field).required or field_behavior_pb2.REQUIRED in behavior)


def text_keywords(rules: Any) -> dict[str, Any]:
    """Keywords for a string of a request."""
    known = rules.WhichOneof("well_known")
    keywords: dict[str, Any] = dict(_FORMATS.get(known, {}) if known else {})
    if rules.HasField("len"):
        keywords["minLength"] = keywords["maxLength"] = rules.len
    if rules.HasField("min_len"):
        keywords["minLength"] = rules.min_len
    if rules.HasField("max_len"):
        keywords["maxLength"] = rules.max_len
    if getattr(rules, "in"):
        keywords["enum"] = list(getattr(rules, "in"))
    if rules.pattern == _DAY:
        keywords["format"] = "date"
    elif rules.HasField("pattern"):
        combined = _PATTERNS.get(rules.pattern)
        if combined is None:
            keywords["allOf"] = [{"pattern": rules.pattern}, {"pattern": TEXT_PATTERN}]
        else:
            keywords["pattern"] = combined
    elif not keywords.keys() & {"format", "pattern"}:
        keywords["pattern"] = TEXT_PATTERN
    return keywords


def integer_keywords(field: FieldDescriptor, rules: Any) -> dict[str, Any]:
    """Keywords for an integer of a request: always with bounds, those of its type when the rules have none."""
    name, low, high = _INTEGER_BOUNDS[field.cpp_type]
    keywords: dict[str, Any] = {"format": name}
    kind = rules.WhichOneof("type")
    keywords |= number_keywords(getattr(rules, kind)) if kind else {}
    if "exclusiveMinimum" not in keywords:
        keywords.setdefault("minimum", low)
    if "exclusiveMaximum" not in keywords:
        keywords.setdefault("maximum", high)
    return keywords


def number_keywords(rules: Any) -> dict[str, Any]:
    """Keywords for the rules of any numeric type."""
    return {
        keyword: getattr(rules, comparison)
        for comparison, keyword in _COMPARISONS.items()
        if rules.HasField(comparison)
    }


def allowed_words(field: FieldDescriptor, words: Mapping[str, int]) -> list[str]:
    """The words that the rules of an enum field admit."""
    rules = rules_of(field).enum
    only, never = getattr(rules, "in"), rules.not_in
    return [word for word, number in words.items() if number not in never and (not only or number in only)]


def list_keywords(rules: Any) -> dict[str, Any]:
    """Keywords for a list of a request."""
    keywords: dict[str, Any] = {}
    if rules.HasField("min_items"):
        keywords["minItems"] = rules.min_items
    if rules.HasField("max_items"):
        keywords["maxItems"] = rules.max_items
    if rules.unique:
        keywords["uniqueItems"] = True
    return keywords


def map_keywords(rules: Any) -> dict[str, Any]:
    """Keywords for a map of a request."""
    keywords: dict[str, Any] = {}
    if rules.HasField("min_pairs"):
        keywords["minProperties"] = rules.min_pairs
    if rules.HasField("max_pairs"):
        keywords["maxProperties"] = rules.max_pairs
    if rules.keys.WhichOneof("type") == "string":
        keywords["propertyNames"] = text_keywords(rules.keys.string)
    return keywords
