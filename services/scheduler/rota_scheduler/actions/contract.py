"""Actions as the contract has them, from the JSON that workflows and rules make of their templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protovalidate import Validator
from rota.scheduler.v1 import schedules_pb2
from rota_chassis import codec
from rota_chassis.codec.problems import DecodeError
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.rpc.pipeline import violations_of

from rota_scheduler.actions.checks import check_action

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_chassis.codec.problems import Problem

    from rota_scheduler.actions.egress import EgressPolicy

_OF_THE_SYSTEM = "cleanup"
KINDS = tuple(
    field.name
    for field in schedules_pb2.Action.DESCRIPTOR.oneofs_by_name["kind"].fields
    if field.name != _OF_THE_SYSTEM
)
_decode = codec.decoder(schedules_pb2.Action)
_encode = codec.encoder(schedules_pb2.Action)
_VALIDATOR = Validator()


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


def action_given(content: Any, policy: EgressPolicy) -> Mapping[str, Any]:
    """The action as it is stored, from its JSON form in a request.

    Raises:
        InvalidArgument: it is none, or will not do (code INVALID_ACTION), or leads where actions may not connect to
            (ADDRESS_NOT_ALLOWED).
    """
    try:
        message = _decode(content)
    except DecodeError as error:
        raise _invalid([Violation(_path(each), each.detail, each.code) for each in error.problems]) from error
    violations = violations_of(_VALIDATOR, message)
    if violations:
        raise _invalid(
            [Violation(f"action.{each.field}".rstrip("."), each.description, each.reason) for each in violations]
        )
    action: Mapping[str, Any] = _encode(message)
    try:
        check_action(action, policy)
    except InvalidArgument as error:
        if error.code == "ADDRESS_NOT_ALLOWED":
            raise
        raise _invalid(error.violations) from error
    return action


def _path(problem: Problem) -> str:
    """Where a problem is, as violations name it: "action.http.headers[0].name"."""
    path = "action"
    for step in (problem.pointer or "").split("/")[1:]:
        path += f"[{step}]" if step.isdigit() else f".{step}"
    return path


def _invalid(violations: Sequence[Violation]) -> InvalidArgument:
    first = violations[0]
    return InvalidArgument(
        f"The action will not do: {first.field} {first.description}.", code="INVALID_ACTION", violations=violations
    )


def action_of(content: Any, policy: EgressPolicy) -> Mapping[str, Any]:
    """The action as it is stored, from its JSON form without expressions.

    Raises:
        RefusedAction: it is none, or will not do.
    """
    try:
        message = _decode(content)
        violations = violations_of(_VALIDATOR, message)
        if violations:
            raise RefusedAction(f"{violations[0].field} {violations[0].description}")
        action: Mapping[str, Any] = _encode(message)
        check_action(action, policy)
    except (DecodeError, InvalidArgument) as error:
        raise RefusedAction(str(error)) from error
    return action
