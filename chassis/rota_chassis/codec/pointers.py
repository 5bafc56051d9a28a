"""JSON pointers for what protovalidate finds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rota_chassis.codec.problems import token
from rota_chassis.codec.wellknown import is_well_known

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

_STEP = re.compile(r'\.?(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\[(?:"(?P<key>(?:[^"\\]|\\.)*)"|(?P<index>[^\]"]*))\]')
_ESCAPE = re.compile(r"\\(.)")


def violation_pointer(message: Descriptor, field_path: str) -> str:
    """The JSON pointer (RFC 6901) of a protovalidate field path such as `action.http.url` or `assignee_ids[1]`.

    Ends early where the JSON form does: at a oneof, whose rule is about the object around it, and within timestamps
    and other types that are one value in JSON. Within a Struct the path names members of the JSON itself. The path ""
    is the whole message, pointer "".
    """
    pointer = ""
    scope: Descriptor | None = message
    is_json, end = False, 0
    for step in _STEP.finditer(field_path):
        if step.start() != end:
            break
        end = step.end()
        if is_json:
            pointer += f"/{token(step['name'] or step['key'] or step['index'])}"
        elif (name := step["name"]) is not None:
            field = scope.fields_by_name.get(name) if scope else None
            if field is None:
                break
            pointer += f"/{name}"
            scope = field.message_type
            if scope is not None and is_well_known(scope.full_name):
                is_json = scope.full_name == "google.protobuf.Struct"
                scope = None
        else:
            key = _ESCAPE.sub(r"\1", step["key"]) if step["key"] is not None else step["index"]
            pointer += f"/{token(key)}"
            if scope is not None and scope.GetOptions().map_entry:
                scope = scope.fields_by_name["value"].message_type
    return pointer
