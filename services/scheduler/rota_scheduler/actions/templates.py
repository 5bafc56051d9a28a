"""Actions with expressions in them, as workflows and rules have them, checked when they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_scheduler import expressions
from rota_scheduler.actions.retries import MEMBERS
from rota_scheduler.actions.secrets import MASK
from rota_scheduler.expressions import ExpressionError
from rota_scheduler.runs.allocation import SHARES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class RefusedDefinition(Exception):
    """A definition that will not do; the message is a sentence for its author.

    Attributes:
        path: The member it is about, as "steps.ship.needs".
    """

    def __init__(self, path: str, description: str) -> None:
        self.path = path
        self.description = description.rstrip(".")
        super().__init__(f"{path} {self.description}.")


def check(content: Any, path: str, kinds: Iterable[str], variables: frozenset[str]) -> Mapping[str, Any]:
    """The template of an action, if it is one as far as that can be known without values.

    Args:
        content: What its author wrote.
        path: Where that is, for the refusal.
        kinds: The names of the actions that there are.
        variables: What its expressions may name.

    Raises:
        RefusedDefinition: it is none.
    """
    known = frozenset(kinds)
    if not isinstance(content, dict):
        raise RefusedDefinition(path, "must be an object")
    action: Mapping[str, Any] = content
    check_known(action, known | MEMBERS | SHARES, path)
    given = known.intersection(action)
    if len(given) != 1 or not all(isinstance(action[kind], dict) for kind in given):
        raise RefusedDefinition(path, f"must be an object with exactly one of {', '.join(sorted(known))}")
    if (action.get("http") or {}).get("template"):
        raise RefusedDefinition(f"{path}.http.template", "is for actions that are no templates; this one is")
    if MASK in _secrets(action):
        raise RefusedDefinition(path, "has the mask of a secret; give the secret")
    check_template(action, path, variables)
    return action


def check_template(template: Any, path: str, variables: frozenset[str]) -> bool:
    """Whether a template has expressions, all of which can be read.

    Raises:
        RefusedDefinition: one cannot be read, or names something else than `variables`.
    """
    try:
        found = list(expressions.expressions(template))
    except ExpressionError as error:
        raise RefusedDefinition(path, f"is wrong at character {error.position + 1} of a text: {error}") from error
    for expression in found:
        check_names(expression.names, path, variables)
    return bool(found)


def check_names(names: frozenset[str], path: str, variables: frozenset[str]) -> None:
    """Return if the names are those of variables.

    Raises:
        RefusedDefinition: one is not.
    """
    unknown = names - variables
    if unknown:
        raise RefusedDefinition(path, f"names {min(unknown)}; there are {', '.join(sorted(variables))}")


def check_known(content: Mapping[str, Any], keys: frozenset[str], path: str) -> None:
    """Return if an object has no other members.

    Raises:
        RefusedDefinition: it has.
    """
    for key in content:
        if key not in keys:
            raise RefusedDefinition(f"{path}.{key}", f"is not known; there are {', '.join(sorted(keys))}")


def _secrets(action: Mapping[str, Any]) -> list[Any]:
    call = action.get("http") or {}
    return [call.get("signing_secret"), *(h.get("value") for h in _headers(call) if h.get("sensitive"))]


def _headers(call: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    headers = call.get("headers")
    return [each for each in headers if isinstance(each, dict)] if isinstance(headers, list) else []
