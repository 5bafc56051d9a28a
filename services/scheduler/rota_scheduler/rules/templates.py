"""The actions of rules: checked when they are written, and made actions when an event sets the rule off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from rota_chassis.errors import InvalidArgument, Violation

from rota_scheduler.actions.contract import KINDS, Ordered, RefusedAction, action_of
from rota_scheduler.actions.templates import RefusedDefinition, check
from rota_scheduler.expressions import ExpressionError, expand, expressions
from rota_scheduler.rules.facts import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_scheduler.actions.egress import EgressPolicy
    from rota_scheduler.rules.domain import Rule
    from rota_scheduler.rules.facts import Facts

MAX_BYTES = 64_000


def check_actions(actions: Sequence[Mapping[str, Any]], policy: EgressPolicy) -> None:
    """Return if the actions will do, as far as that can be known without an event.

    Raises:
        InvalidArgument: one will not, or they are too large (code INVALID_ACTION).
    """
    if len(orjson.dumps(actions)) > MAX_BYTES:
        raise _invalid("actions", f"are larger than {MAX_BYTES} bytes")
    for index, action in enumerate(actions):
        path = f"actions[{index}]"
        try:
            check(action, path, KINDS, VARIABLES)
            if next(iter(expressions(action)), None) is None:
                action_of(expand(action, {}), policy)
        except RefusedDefinition as error:
            raise _invalid(error.path, error.description) from error
        except (RefusedAction, ExpressionError) as error:
            raise _invalid(path, f"will not do: {error}") from error


def actions_for(rule: Rule, facts: Facts, policy: EgressPolicy) -> tuple[Sequence[tuple[int, Ordered]], Sequence[str]]:
    """The actions that an event asks for, each with its place, and why others will not do."""
    variables = facts.variables(rule)
    found, problems = [], []
    for index, template in enumerate(rule.actions):
        try:
            found.append((index, action_of(expand(template, variables), policy)))
        except (ExpressionError, RefusedAction) as error:
            problems.append(f"actions[{index}]: {error}")
    return found, problems


def _invalid(field: str, description: str) -> InvalidArgument:
    return InvalidArgument(
        f"{field} {description}.",
        code="INVALID_ACTION",
        violations=[Violation(field, description, "invalid_action")],
    )
