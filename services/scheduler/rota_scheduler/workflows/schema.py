"""What a definition may look like, as JSON Schema: the shapes that `definition.parse` checks."""

from __future__ import annotations

from typing import Any

from rota_scheduler.actions.contract import KINDS
from rota_scheduler.actions.retries import MEMBERS
from rota_scheduler.rules.facts import EVENT_TYPES
from rota_scheduler.runs.allocation import SHARES
from rota_scheduler.workflows.definition import DOES, MAX_ID, MAX_STEPS, MAX_WAIT_S, OF_THE_TASK, ON_FAILURE
from rota_scheduler.workflows.steps import DEFAULT_PARALLEL, MAX_PARALLEL

_ACTION: dict[str, Any] = {
    "description": "An action as schedules have it, and beside it what its run shares, as POST /runs has that; its "
    "strings may hold ${expressions} that know `input` and `steps`.",
    "type": "object",
    "properties": {
        **{kind: {"type": "object"} for kind in KINDS},
        **{member: {} for member in sorted(MEMBERS | SHARES)},
    },
    "additionalProperties": False,
    "oneOf": [{"required": [kind]} for kind in KINDS],
}
_TIMEOUT: dict[str, Any] = {
    "description": "The step fails after so many seconds; absent means that it waits on.",
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_WAIT_S,
}
_EVENT: dict[str, Any] = {
    "description": "An event of the workspace, from when the step begins.",
    "type": "object",
    "properties": {
        "type": {"enum": list(EVENT_TYPES)},
        "where": {
            "description": "A condition on it in the language of filters, as rules have it; may hold ${expressions}.",
            "type": "string",
        },
        "timeout_s": _TIMEOUT,
    },
    "required": ["type"],
    "additionalProperties": False,
}
_WAIT: dict[str, Any] = {
    "description": "So many seconds, a signal of a name, or an event.",
    "type": "object",
    "properties": {
        "for_s": {"type": "integer", "minimum": 1, "maximum": MAX_WAIT_S},
        "signal": {"type": "string", "minLength": 1, "maxLength": MAX_ID},
        "event": _EVENT,
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}
_APPROVAL: dict[str, Any] = {
    "description": "A task that somebody completes, which approves, or cancels or deletes, which refuses.",
    "type": "object",
    "properties": {
        **{name: {"description": "Of the task; may hold ${expressions}."} for name in OF_THE_TASK},
        "title": {"description": "Of the task; may hold ${expressions}.", "type": "string"},
        "timeout_s": _TIMEOUT,
        "on_refusal": {"description": "Whether a refusal fails the step.", "enum": list(ON_FAILURE), "default": "fail"},
    },
    "required": ["title"],
    "additionalProperties": False,
}
_WORKFLOW: dict[str, Any] = {
    "description": "Another workflow of the workspace, which runs to its end; its output is the step's.",
    "type": "object",
    "properties": {
        "workflow_id": {"description": "Its id; may hold ${expressions}.", "type": "string"},
        "input": {"description": "What it is started with: any JSON; its strings may hold ${expressions}."},
    },
    "required": ["workflow_id"],
    "additionalProperties": False,
}
_FOR_EACH: dict[str, Any] = {
    "description": "The step is taken for each item of a list; its expressions know `item` and `index`, those of "
    "`compensate` the item's `output` as well.",
    "type": "object",
    "properties": {
        "in": {"description": "An expression that yields the list.", "type": "string"},
        "max_parallel": {
            "description": "How many items are under way at a time.",
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_PARALLEL,
            "default": DEFAULT_PARALLEL,
        },
        "on_item_failure": {
            "description": "Whether an item that fails fails the step.",
            "enum": list(ON_FAILURE),
            "default": "fail",
        },
    },
    "required": ["in"],
    "additionalProperties": False,
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
        "for_each": {"$ref": "#/$defs/for_each"},
        "action": {"$ref": "#/$defs/action"},
        "wait": {"$ref": "#/$defs/wait"},
        "approval": {"$ref": "#/$defs/approval"},
        "workflow": {"$ref": "#/$defs/workflow"},
        "compensate": {"$ref": "#/$defs/action", "description": "What undoes it when a later step fails."},
    },
    "additionalProperties": False,
    "oneOf": [{"required": [kind]} for kind in DOES],
    "dependentSchemas": {"for_each": {"anyOf": [{"required": ["action"]}, {"required": ["workflow"]}]}},
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
    "$defs": {
        "step": _STEP,
        "action": _ACTION,
        "wait": _WAIT,
        "approval": _APPROVAL,
        "workflow": _WORKFLOW,
        "for_each": _FOR_EACH,
    },
}
