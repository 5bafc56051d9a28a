"""Actions as the contract has them, from the JSON that workflows and rules make of their templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protovalidate import Validator
from rota.scheduler.v1 import schedules_pb2
from rota_chassis import codec
from rota_chassis.codec.problems import DecodeError
from rota_chassis.errors import InvalidArgument
from rota_chassis.rpc.pipeline import violations_of

from rota_scheduler.actions.checks import check_action

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class RefusedAction(Exception):
    """Something that is no action; the message says why."""


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
