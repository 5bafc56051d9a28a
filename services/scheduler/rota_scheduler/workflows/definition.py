"""What a workflow is: steps that need others, read from JSON or YAML and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from rota_scheduler import expressions
from rota_scheduler.actions.secrets import masked
from rota_scheduler.actions.templates import RefusedDefinition, check, check_known, check_names, check_template
from rota_scheduler.expressions import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_STEPS = 200
MAX_BYTES = 256_000
MAX_ID = 64
MAX_WAIT_S = 31_536_000
VARIABLES = frozenset({"input", "steps"})
_STEP_KEYS = frozenset({"needs", "if", "action", "wait", "compensate"})
_ACTIONS = frozenset({"action", "compensate"})
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What a step waits for: so many seconds, or a signal of a name."""

    for_s: int | None = None
    signal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: it takes an action or waits, when what it needs is done and its condition holds.

    Attributes:
        action: A template of the JSON form of rota.scheduler.v1.Action.
        compensate: The action that undoes it, likewise.
    """

    id: str
    needs: tuple[str, ...] = ()
    condition: str | None = None
    action: Mapping[str, Any] | None = None
    wait: Wait | None = None
    compensate: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """The steps, each after those that it needs, and the template of the output."""

    steps: Mapping[str, Step]
    output: Any = field(default=None)


def from_yaml(text: str) -> Mapping[str, Any]:
    """The JSON that YAML stands for. Aliases are refused: a few of them can stand for gigabytes.

    Raises:
        RefusedDefinition: it is not YAML, not a mapping, too large, or not JSON.
    """
    path = "definition_yaml"
    if len(text.encode()) > MAX_BYTES:
        raise RefusedDefinition(path, f"is larger than {MAX_BYTES} bytes")
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise RefusedDefinition(path, f"has an alias in line {line}, write it out")
        # Dates become text, as they would be in JSON.
        read = orjson.loads(orjson.dumps(yaml.safe_load(text)))
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
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
    if ("action" in content) == ("wait" in content):
        raise RefusedDefinition(path, "must have an action or a wait, and not both")
    needs = content.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs) or len(needs) > MAX_STEPS:
        raise RefusedDefinition(f"{path}.needs", "must be a list of names of steps")
    condition = content.get("if")
    if condition is not None:
        if not isinstance(condition, str):
            raise RefusedDefinition(f"{path}.if", "must be an expression")
        _check_expression(condition, f"{path}.if")
    return Step(
        id=name,
        needs=tuple(dict.fromkeys(needs)),
        condition=condition,
        action=check(content["action"], f"{path}.action", kinds, VARIABLES) if "action" in content else None,
        wait=_wait(content["wait"], f"{path}.wait") if "wait" in content else None,
        compensate=check(content["compensate"], f"{path}.compensate", kinds, VARIABLES)
        if "compensate" in content
        else None,
    )


def _wait(content: Any, path: str) -> Wait:
    if not isinstance(content, dict) or len(content) != 1:
        raise RefusedDefinition(path, "must be an object with exactly one of for_s, signal")
    check_known(content, frozenset({"for_s", "signal"}), path)
    if "signal" in content:
        name = content["signal"]
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_ID:
            raise RefusedDefinition(f"{path}.signal", f"must be a name of 1 to {MAX_ID} characters")
        return Wait(signal=name)
    seconds = content["for_s"]
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= MAX_WAIT_S:
        raise RefusedDefinition(f"{path}.for_s", f"must be a whole number of seconds, 1 to {MAX_WAIT_S}")
    return Wait(for_s=seconds)


def _check_expression(text: str, path: str) -> None:
    try:
        names = expressions.read(text).names
    except ExpressionError as error:
        raise RefusedDefinition(path, f"is wrong at character {error.position + 1}: {error}") from error
    check_names(names, path, VARIABLES)
