"""Files in the document: bodies that are one, and answers that are one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_gateway.openapi.answers import RATE_HEADERS, header_references
from rota_gateway.uploads import FORM_PART

if TYPE_CHECKING:
    from rota_gateway.openapi.schemas import Schema

_BYTES: Schema = {"type": "string", "format": "binary"}
_ANY_TYPE = "*/*"
_HEADERS_OF_ALL = ("ETag", *RATE_HEADERS)
_HEADERS_OF_CONTENT = ("Accept-Ranges", "Content-Disposition", "Last-Modified", *_HEADERS_OF_ALL)


def upload_content() -> Schema:
    """The content of a request that takes a file."""
    form = {
        "type": "object",
        "properties": {FORM_PART: {**_BYTES, "description": "The file, with its name and, if known, its type."}},
        "required": [FORM_PART],
        "additionalProperties": False,
    }
    itself = {**_BYTES, "description": "The file itself; any other type than a form is taken likewise."}
    return {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": itself}}


def upload_parameters() -> list[Schema]:
    """What a request that takes a file may have besides what its message says."""
    text = "Has the name of a file that is the body itself (RFC 6266); `name` goes before it."
    return [{"name": "Content-Disposition", "in": "header", "description": text, "schema": {"type": "string"}}]


def download_parameters() -> list[Schema]:
    """What a request for a file may have besides what its message says."""
    text = "Answer 304 when the content still has this entity tag (RFC 9110, section 13.1.2)."
    return [{"name": "If-None-Match", "in": "header", "description": text, "schema": {"type": "string"}}]


def download_answers() -> dict[str, Any]:
    """The answers that are a file, or a part of one."""
    content = {_ANY_TYPE: {"schema": _BYTES}}
    whole = header_references(_HEADERS_OF_CONTENT)
    part = header_references(("Content-Range", *_HEADERS_OF_CONTENT))
    unchanged = header_references(_HEADERS_OF_ALL)
    return {
        "200": {"description": "The whole content, of its own type.", "headers": whole, "content": content},
        "206": {"description": "The range that was asked for.", "headers": part, "content": content},
        "304": {"description": "The content still has that entity tag.", "headers": unchanged},
    }
