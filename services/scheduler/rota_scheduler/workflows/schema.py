"""What a definition may look like, as JSON Schema: the shapes that `definition.parse` checks."""

from __future__ import annotations

from typing import Any

from rota_scheduler.actions.contract import KINDS
from rota_scheduler.actions.retries import MEMBERS
from rota_scheduler.workflows.definition import MAX_ID, MAX_STEPS, MAX_WAIT_S

_ACTION: dict[str, Any] = {
    "description": "An action as schedules have it; its strings may hold ${expressions} that know `input` and `steps`.",
    "type": "object",
    "properties": {**{kind: {"type": "object"} for kind in KINDS}, **{member: {} for member in sorted(MEMBERS)}},
    "additionalProperties": False,
    "oneOf": [{"required": [kind]} for kind in KINDS],
}
_WAIT: dict[str, Any] = {
    "description": "So many seconds, or a signal of a name.",
    "type": "object",
    "properties": {
        "for_s": {"type": "integer", "minimum": 1, "maximum": MAX_WAIT_S},
        "signal": {"type": "string", "minLength": 1, "maxLength": MAX_ID},
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}
_STEP: dict[str, Any] = {
    "type": "object",
    "properties": {
        "needs": {
            "description": "The steps that are done before this one begins.",
            "type": "array",
            "items": {"type": "string"},
            "maxItems": MAX_STEPS,
        },
        "if": {"description": "An expression; when it is false, the step is skipped.", "type": "string"},
        "action": {"$ref": "#/$defs/action"},
        "wait": {"$ref": "#/$defs/wait"},
        "compensate": {"$ref": "#/$defs/action", "description": "What undoes it when a later step fails."},
    },
    "additionalProperties": False,
    "oneOf": [{"required": ["action"]}, {"required": ["wait"]}],
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Workflow",
    "type": "object",
    "properties": {
        "steps": {
            "description": "The steps by their names.",
            "type": "object",
            "minProperties": 1,
            "maxProperties": MAX_STEPS,
            "propertyNames": {"pattern": f"^[a-z_][a-z0-9_]{{0,{MAX_ID - 1}}}$"},
            "additionalProperties": {"$ref": "#/$defs/step"},
        },
        "output": {"description": "What a run yields when it succeeds: any JSON; its strings may hold ${expressions}."},
    },
    "required": ["steps"],
    "additionalProperties": False,
    "$defs": {"step": _STEP, "action": _ACTION, "wait": _WAIT},
}
