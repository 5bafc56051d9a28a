"""The actions that tasks of a template will take. Pure.

A template is seen by everyone in its workspace, and its events are kept for ever: it holds no secrets. Where an action
has one, it names a variable, whose value is given when the template is used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rota_tasks.templates.content import NAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SCHEME = re.compile(r"\A[A-Za-z]{1,20} ")
MASK = "********"
"""What the scheduler shows of a secret."""


def secrets(action: Mapping[str, Any]) -> Iterator[str]:
    """The texts that stand where an action has its secrets."""
    call = action.get("http")
    if not isinstance(call, dict):
        return
    secret, headers = call.get("signing_secret"), call.get("headers")
    if secret:
        yield str(secret)
    for header in headers if isinstance(headers, list) else ():
        if isinstance(header, dict) and header.get("sensitive"):
            yield str(header.get("value") or "")


def is_kept_elsewhere(secret: str) -> bool:
    """Whether a text in the place of a secret is none: empty, or a variable, maybe behind a scheme such as `Bearer`."""
    found = NAMED.fullmatch(_SCHEME.sub("", secret, count=1))
    return not secret or (found is not None and not found[1])


def texts(action: Any) -> Iterator[str]:
    """All texts of an action."""
    match action:
        case str():
            yield action
        case dict():
            for each in action.values():
                yield from texts(each)
        case list():
            for each in action:
                yield from texts(each)


def changed(action: Any, change: Callable[[str], str]) -> Any:
    """The action with each of its texts changed."""
    match action:
        case str():
            return change(action)
        case dict():
            return {name: changed(each, change) for name, each in action.items()}
        case list():
            return [changed(each, change) for each in action]
    return action
