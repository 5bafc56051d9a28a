"""What a workflow is: steps that need others, read from JSON or YAML and checked."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import yaml
from rota_chassis.errors import InvalidArgument
from rota_chassis.filters.literals import Context

from rota_scheduler import expressions
from rota_scheduler.actions.secrets import masked
from rota_scheduler.actions.templates import RefusedDefinition, check, check_known, check_names, check_template
from rota_scheduler.expressions import ExpressionError
from rota_scheduler.rules.facts import EVENT_TYPES, check_condition
from rota_scheduler.workflows.steps import (
    DEFAULT_PARALLEL,
    MAX_PARALLEL,
    Approval,
    Definition,
    EventWait,
    ForEach,
    Step,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from rota_scheduler.expressions import Expression

MAX_STEPS = 200
MAX_BYTES = 256_000
MAX_ID = 64
MAX_WAIT_S = 31_536_000
VARIABLES = frozenset({"input", "steps"})
OF_ITEMS = VARIABLES | {"item", "index"}
OF_DONE_ITEMS = OF_ITEMS | {"output"}
DOES = ("action", "wait", "approval", "workflow")
"""What a step may do: exactly one of these."""
ON_FAILURE = ("fail", "continue")
OF_THE_TASK = ("title", "description", "priority", "project_id", "assignee_ids")
"""The members of an approval that its task has."""
_STEP_KEYS = frozenset({"needs", "if", "for_each", "compensate", *DOES})
_ACTIONS = frozenset({"action", "compensate"})
_TEMPLATES = frozenset({"compensate", *DOES})
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
# What is written in C reads five times as fast.
_Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def from_yaml(text: str) -> Mapping[str, Any]:
    """The JSON that YAML stands for. Aliases are refused: a few of them can stand for gigabytes.

    What is nested too deeply is refused where it is: reading on takes time by the square of the depth.

    Raises:
        RefusedDefinition: it is not YAML, not a mapping, too large, too deep, or not JSON.
    """
    path = "definition_yaml"
    if len(text.encode()) > MAX_BYTES:
        raise RefusedDefinition(path, f"is larger than {MAX_BYTES} bytes")
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                raise RefusedDefinition(path, f"has an alias in line {line}, write it out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > expressions.MAX_JSON_DEPTH:
                raise RefusedDefinition(path, f"is nested too deeply in line {line}")
        # Dates become text, as they would be in JSON.
        read = orjson.loads(orjson.dumps(yaml.load(text, Loader=_Loader)))  # noqa: S506 (both loaders are safe)
    except (yaml.YAMLError, ArithmeticError, RecursionError, ValueError, TypeError) as error:
        raise RefusedDefinition(path, f"cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict):
        raise RefusedDefinition(path, "must be a mapping")
    return read


def parse(content: Mapping[str, Any], kinds: Iterable[str]) -> Definition:
    """Read a definition.

    Args:
        content: {"steps": {id: step}, "output": template}.
        kinds: The names of the actions that there are.

    Raises:
        RefusedDefinition: it will not do.
    """
    if not isinstance(content, dict):
        raise RefusedDefinition("definition", "must be an object")
    if len(orjson.dumps(content)) > MAX_BYTES:
        raise RefusedDefinition("definition", f"is larger than {MAX_BYTES} bytes")
    check_known(content, frozenset({"steps", "output"}), "definition")
    found = content.get("steps")
    if not isinstance(found, dict) or not 1 <= len(found) <= MAX_STEPS:
        raise RefusedDefinition("steps", f"must be an object of 1 to {MAX_STEPS} steps by their names")
    known = frozenset(kinds)
    steps = {name: _step(name, step, known) for name, step in found.items()}
    for step in steps.values():
        for need in step.needs:
            if need not in steps:
                raise RefusedDefinition(f"steps.{step.id}.needs", f"names {need}, and there is no such step")
    try:
        order = tuple(TopologicalSorter({step.id: step.needs for step in steps.values()}).static_order())
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise RefusedDefinition("steps", f"need each other in a circle: {cycle}") from error
    check_template(content.get("output"), "output", VARIABLES)
    return Definition({name: steps[name] for name in order}, content.get("output"))


def check_steps_named(content: Mapping[str, Any]) -> None:
    """Return if the expressions of a definition that was read name no step that there is not.

    Raises:
        RefusedDefinition: they do.
    """
    for name, step in content["steps"].items():
        bare = [step["if"]] if step.get("if") is not None else []
        bare += [step["for_each"]["in"]] if "for_each" in step else []
        templates = {key: value for key, value in step.items() if key in _TEMPLATES}
        found = [*expressions.expressions(templates), *map(expressions.read, bare)]
        _check_steps(found, f"steps.{name}", content["steps"])
    _check_steps(expressions.expressions(content.get("output")), "output", content["steps"])


def _check_steps(found: Iterable[Expression], path: str, steps: Collection[str]) -> None:
    for expression in found:
        for named in expression.members_of("steps"):
            if named not in steps:
                raise RefusedDefinition(path, f"names steps.{named}, and there is no such step")


def shown(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """A definition as it may be shown: with a mask for each secret of its actions."""
    return {
        **content,
        "steps": {
            name: {key: masked(value) if key in _ACTIONS else value for key, value in step.items()}
            for name, step in content["steps"].items()
        },
    }


def _step(name: str, content: Any, kinds: frozenset[str]) -> Step:
    path = f"steps.{name}"
    if not 1 <= len(name) <= MAX_ID or not set(name) <= _LETTERS or name[0].isdigit():
        raise RefusedDefinition(path, f"must be named by 1 to {MAX_ID} of a-z, 0-9 and _, and not begin with a digit")
    if not isinstance(content, dict):
        raise RefusedDefinition(path, "must be an object")
    check_known(content, _STEP_KEYS, path)
    if len([kind for kind in DOES if kind in content]) != 1:
        raise RefusedDefinition(path, f"must have exactly one of {', '.join(DOES)}")
    needs = content.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs) or len(needs) > MAX_STEPS:
        raise RefusedDefinition(f"{path}.needs", "must be a list of names of steps")
    condition = content.get("if")
    if condition is not None:
        if not isinstance(condition, str):
            raise RefusedDefinition(f"{path}.if", "must be an expression")
        _check_expression(condition, f"{path}.if")
    each = _for_each(content["for_each"], f"{path}.for_each") if "for_each" in content else None
    if each is not None and ("wait" in content or "approval" in content):
        raise RefusedDefinition(f"{path}.for_each", "goes with an action or a workflow only")
    variables, of_done = (VARIABLES, VARIABLES) if each is None else (OF_ITEMS, OF_DONE_ITEMS)
    return Step(
        id=name,
        needs=tuple(dict.fromkeys(needs)),
        condition=condition,
        for_each=each,
        action=check(content["action"], f"{path}.action", kinds, variables) if "action" in content else None,
        wait=_wait(content["wait"], f"{path}.wait") if "wait" in content else None,
        approval=_approval(content["approval"], f"{path}.approval") if "approval" in content else None,
        workflow=_workflow(content["workflow"], f"{path}.workflow", variables) if "workflow" in content else None,
        compensate=check(content["compensate"], f"{path}.compensate", kinds, of_done)
        if "compensate" in content
        else None,
    )


def _for_each(content: Any, path: str) -> ForEach:
    if not isinstance(content, dict) or not isinstance(content.get("in"), str):
        raise RefusedDefinition(path, "must be an object whose `in` is an expression that yields a list")
    check_known(content, frozenset({"in", "max_parallel", "on_item_failure"}), path)
    _check_expression(content["in"], f"{path}.in")
    return ForEach(
        over=content["in"],
        max_parallel=_whole(content.get("max_parallel", DEFAULT_PARALLEL), f"{path}.max_parallel", MAX_PARALLEL),
        goes_on=_goes_on(content, "on_item_failure", path),
    )


def _workflow(content: Any, path: str, variables: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(content, dict) or not isinstance(content.get("workflow_id"), str):
        raise RefusedDefinition(path, "must be an object with the `workflow_id` of a workflow")
    check_known(content, frozenset({"workflow_id", "input"}), path)
    if not check_template(content["workflow_id"], f"{path}.workflow_id", variables):
        try:
            UUID(content["workflow_id"])
        except ValueError as error:
            raise RefusedDefinition(f"{path}.workflow_id", "must be a UUID") from error
    check_template(content.get("input"), f"{path}.input", variables)
    return content


def _approval(content: Any, path: str) -> Approval:
    if not isinstance(content, dict) or not isinstance(content.get("title"), str):
        raise RefusedDefinition(path, "must be an object with the `title` of a task")
    check_known(content, frozenset({*OF_THE_TASK, "timeout_s", "on_refusal"}), path)
    task = {name: content[name] for name in OF_THE_TASK if name in content}
    check_template(task, path, VARIABLES)
    return Approval(
        action={"create_task": task},
        timeout_s=_seconds(content, "timeout_s", path),
        fails=not _goes_on(content, "on_refusal", path),
    )


def _wait(content: Any, path: str) -> Wait:
    if not isinstance(content, dict) or len(content) != 1:
        raise RefusedDefinition(path, "must be an object with exactly one of for_s, signal, event")
    check_known(content, frozenset({"for_s", "signal", "event"}), path)
    if "event" in content:
        return Wait(event=_event(content["event"], f"{path}.event"))
    if "signal" in content:
        name = content["signal"]
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_ID:
            raise RefusedDefinition(f"{path}.signal", f"must be a name of 1 to {MAX_ID} characters")
        return Wait(signal=name)
    return Wait(for_s=_whole(content["for_s"], f"{path}.for_s", MAX_WAIT_S))


def _event(content: Any, path: str) -> EventWait:
    if not isinstance(content, dict) or content.get("type") not in EVENT_TYPES:
        raise RefusedDefinition(path, f"must be an object whose `type` is one of {', '.join(EVENT_TYPES)}")
    check_known(content, frozenset({"type", "where", "timeout_s"}), path)
    where = content.get("where", "")
    if not isinstance(where, str):
        raise RefusedDefinition(f"{path}.where", "must be a condition in the language of filters")
    # With expressions in it, it is read when they have values.
    if not check_template(where, f"{path}.where", VARIABLES):
        try:
            check_where(where, content["type"])
        except InvalidArgument as error:
            raise RefusedDefinition(f"{path}.where", f"will not do: {str(error).rstrip('.')}") from error
    return EventWait(type=content["type"], where=where, timeout_s=_seconds(content, "timeout_s", path))


@lru_cache(maxsize=1024)
def check_where(where: str, event_type: str) -> None:
    """Return if a condition can be asked of events of a type.

    Raises:
        InvalidArgument: it cannot (code INVALID_FILTER); says where.
    """
    check_condition(where, (event_type,), Context(now=datetime(1970, 1, 1, tzinfo=UTC), me=UUID(int=0)))


def _seconds(content: Mapping[str, Any], name: str, path: str) -> int | None:
    return _whole(content[name], f"{path}.{name}", MAX_WAIT_S) if name in content else None


def _whole(value: Any, path: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise RefusedDefinition(path, f"must be a whole number, 1 to {most}")
    return value


def _goes_on(content: Mapping[str, Any], name: str, path: str) -> bool:
    given = content.get(name, ON_FAILURE[0])
    if given not in ON_FAILURE:
        raise RefusedDefinition(f"{path}.{name}", f"must be one of {', '.join(ON_FAILURE)}")
    return bool(given == ON_FAILURE[1])


def _check_expression(text: str, path: str) -> None:
    try:
        names = expressions.read(text).names
    except ExpressionError as error:
        raise RefusedDefinition(path, f"is wrong at character {error.position + 1}: {error}") from error
    check_names(names, path, VARIABLES)
