"""Actions as the contract has them, from the JSON that workflows and rules make of their templates, or tasks hold.

Beside what is done they may say what the run shares with others: `SHARES`, members of CreateRunRequest, which are read
and checked as such. So whatever starts a run, there is one grammar for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protovalidate import Validator
from rota.scheduler.v1 import runs_pb2, schedules_pb2
from rota_chassis import codec
from rota_chassis.codec.problems import DecodeError
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.rpc.pipeline import violations_of

from rota_scheduler.actions.checks import check_action
from rota_scheduler.runs.allocation import SHARES
from rota_scheduler.runs.messages import shares_of_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rota_chassis.codec.problems import Problem

    from rota_scheduler.actions.egress import EgressPolicy

_OF_THE_SYSTEM = "cleanup"
KINDS = tuple(
    field.name
    for field in schedules_pb2.Action.DESCRIPTOR.oneofs_by_name["kind"].fields
    if field.name != _OF_THE_SYSTEM
)
_decode = codec.decoder(runs_pb2.CreateRunRequest)
_encode = codec.encoder(schedules_pb2.Action)
_VALIDATOR = Validator()


@dataclass(frozen=True, slots=True)
class Ordered:
    """An action that is to be taken.

    Attributes:
        action: In the JSON form of rota.scheduler.v1.Action, as runs keep it.
        shares: What its run shares, as it was said.
        of_run: The same by the fields of `Run`; those that are not there have their defaults.
    """

    action: Mapping[str, Any]
    shares: Mapping[str, Any]
    of_run: Mapping[str, Any]


def unknown_member(content: Mapping[str, Any]) -> str | None:
    """Where an action in its JSON form, or a template of one, has a member that its kind does not know."""
    for kind in KINDS:
        message = schedules_pb2.Action.DESCRIPTOR.fields_by_name[kind].message_type
        for name in content.get(kind) or ():
            if message is not None and name not in message.fields_by_name:
                return f"{kind}.{name}"
    return None


class RefusedAction(Exception):
    """Something that is no action; the message says why."""


def action_given(content: Mapping[str, Any], policy: EgressPolicy) -> Ordered:
    """The action of a request, from its JSON form.

    Raises:
        InvalidArgument: it is none, or will not do (code INVALID_ACTION), or leads where actions may not connect to
            (ADDRESS_NOT_ALLOWED).
    """
    try:
        message = _read(content)
    except DecodeError as error:
        raise _invalid([Violation(_path(each), each.detail, each.code) for each in error.problems]) from error
    violations = _violations(message, content)
    if violations:
        raise _invalid([Violation(_within(each.field), each.description, each.reason) for each in violations])
    try:
        return _checked(message, content, policy)
    except InvalidArgument as error:
        if error.code == "ADDRESS_NOT_ALLOWED":
            raise
        raise _invalid(error.violations) from error


def action_of(content: Any, policy: EgressPolicy) -> Ordered:
    """The action to take, from its JSON form without expressions.

    Raises:
        RefusedAction: it is none, or will not do.
    """
    try:
        message = _read(content)
        violations = _violations(message, content)
        if violations:
            raise RefusedAction(f"{_within(violations[0].field)} {violations[0].description}")
        return _checked(message, content, policy)
    except (DecodeError, InvalidArgument) as error:
        raise RefusedAction(str(error)) from error


def units_asked(actions: Iterable[Mapping[str, Any]]) -> Mapping[str, int]:
    """The most units of each resource pool that actions, or templates of them, ask for, as far as that is known."""
    most: dict[str, int] = {}
    for action in actions:
        asked = action.get("resources")
        for name, units in asked.items() if isinstance(asked, dict) else ():
            if isinstance(units, int):
                most[name] = max(units, most.get(name, 0))
    return most


def _read(content: Mapping[str, Any]) -> runs_pb2.CreateRunRequest:
    shares = _shares(content)
    action = {name: value for name, value in content.items() if name not in shares}
    message: runs_pb2.CreateRunRequest = _decode({"action": action, **shares})
    return message


def _checked(message: runs_pb2.CreateRunRequest, content: Mapping[str, Any], policy: EgressPolicy) -> Ordered:
    action = _encode(message.action)
    check_action(action, policy)
    shares = _shares(content)
    return Ordered(action, shares, shares_of_run(message) if shares else {})


def _violations(message: runs_pb2.CreateRunRequest, content: Mapping[str, Any]) -> Sequence[Violation]:
    # Most say nothing of what they share, and the rest of the rules would cost as much again.
    return violations_of(_VALIDATOR, message if _shares(content) else message.action)


def _shares(content: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: content[name] for name in SHARES if name in content}


def _path(problem: Problem) -> str:
    """Where a problem is, as violations name it: "action.http.headers[0].name"."""
    path = ""
    for step in (problem.pointer or "").split("/")[1:]:
        path += f"[{step}]" if step.isdigit() else f".{step}"
    return _within(path[1:])


def _within(field: str) -> str:
    """The path of a member of an action, or of a request that orders its run, as one of `action`."""
    return field if field.startswith("action") else f"action.{field}".rstrip(".")


def _invalid(violations: Sequence[Violation]) -> InvalidArgument:
    first = violations[0]
    return InvalidArgument(
        f"The action will not do: {first.field} {first.description}.", code="INVALID_ACTION", violations=violations
    )
