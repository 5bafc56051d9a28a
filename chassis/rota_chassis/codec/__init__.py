"""Compiled codecs between protobuf messages and the JSON form of the REST API.

The form: members are the proto field names; every member is always written. A message that is not set, an `optional`
scalar that is not set and an enum's zero value are null; a list is `[]` when empty. Enum values are lower-case words
without the enum's prefix, 64-bit integers are numbers, timestamps RFC 3339 in UTC with at most six fractional digits,
durations "1.5s", field masks comma-joined, bytes base64, google.protobuf.Value and its kin plain JSON. An untagged
message is the member of it that is set.

Decoding takes the same form, strictly, and reads null as absent. For each message type a function is generated as
Python source from the descriptor once, so that no call reflects.
"""

from __future__ import annotations

from rota_chassis.codec.decoding import decoder, member_names
from rota_chassis.codec.encoding import encoder
from rota_chassis.codec.parameters import parameter_decoder, query_decoder
from rota_chassis.codec.pointers import violation_pointer
from rota_chassis.codec.problems import MAX_PROBLEMS, DecodeError, Problem
from rota_chassis.codec.untagged import is_untagged
from rota_chassis.codec.wellknown import MAX_DEPTH
from rota_chassis.codec.words import enum_words

__all__ = [
    "MAX_DEPTH",
    "MAX_PROBLEMS",
    "DecodeError",
    "Problem",
    "decoder",
    "encoder",
    "enum_words",
    "is_untagged",
    "member_names",
    "parameter_decoder",
    "query_decoder",
    "violation_pointer",
]
