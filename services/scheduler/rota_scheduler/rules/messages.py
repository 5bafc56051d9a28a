"""Rules and their logs as the contract writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.scheduler.v1 import rules_pb2
from rota_chassis import codec
from rota_chassis.codec.wellknown import struct_json
from rota_chassis.events.log import NewEvent

from rota_scheduler.actions.secrets import masked
from rota_scheduler.rules.domain import DEFAULT_PER_MINUTE, Edits

if TYPE_CHECKING:
    from datetime import datetime

    from rota_scheduler.rules.domain import LogEntry, Rule
    from rota_scheduler.rules.dryrun import Match

_decode_rule = codec.decoder(rules_pb2.Rule)
_decode_entry = codec.decoder(rules_pb2.RuleLogEntry)
_decode_match = codec.decoder(rules_pb2.DryRunMatch)
_MEMBER_OF = {"on": "events", "when": "condition"}


def members_of(request: Any) -> dict[str, Any]:
    """What a request says of a rule, as members of `Rule`; what it does not say is the default."""
    return {
        "name": request.name,
        "events": tuple(request.on),
        "condition": request.when,
        "actions": tuple(struct_json(action) for action in request.actions),
        "project_id": UUID(request.project_id) if request.HasField("project_id") else None,
        "enabled": request.enabled if request.HasField("enabled") else True,
        "max_per_minute": request.max_per_minute if request.HasField("max_per_minute") else DEFAULT_PER_MINUTE,
    }


def edits_of(request: rules_pb2.UpdateRuleRequest) -> Edits:
    """What a request changes."""
    given = members_of(request)
    named = {_MEMBER_OF.get(path, path) for path in request.update_mask.paths}
    return Edits(members={name: value for name, value in given.items() if name in named})


def event_of(message: Any, rule: Rule, now: datetime) -> NewEvent:
    """An event of `rota.events.v1` about a rule as it now is."""
    return NewEvent(
        workspace_id=rule.workspace_id,
        aggregate_id=rule.id,
        aggregate_version=rule.version,
        data=message(rule=rule_message(rule)),
        time=now,
    )


def rule_message(rule: Rule) -> rules_pb2.Rule:
    """The rule as the API shows it."""
    message: rules_pb2.Rule = _decode_rule(
        {
            "id": str(rule.id),
            "workspace_id": str(rule.workspace_id),
            "project_id": str(rule.project_id) if rule.project_id else None,
            "name": rule.name,
            "on": list(rule.events),
            "when": rule.condition,
            "actions": [masked(action) for action in rule.actions],
            "enabled": rule.enabled,
            "max_per_minute": rule.max_per_minute,
            "hold": rule.hold.value if rule.hold else None,
            "owner_id": str(rule.owner_id),
            "created_by": str(rule.created_by),
            "version": rule.version,
            "etag": rule.etag,
        }
    )
    message.created_at.FromDatetime(rule.created_at)
    message.updated_at.FromDatetime(rule.updated_at)
    if rule.held_at is not None:
        message.held_at.FromDatetime(rule.held_at)
    return message


def entry_message(entry: LogEntry) -> rules_pb2.RuleLogEntry:
    """An entry of a rule's log as the API shows it."""
    message: rules_pb2.RuleLogEntry = _decode_entry(
        {
            "id": str(entry.id),
            "event_id": str(entry.event_id),
            "event_type": entry.event_type,
            "depth": entry.depth,
            "outcome": entry.outcome.value,
            "run_ids": [str(run_id) for run_id in entry.run_ids],
            "problems": list(entry.problems),
            "hold": entry.hold.value if entry.hold else None,
        }
    )
    message.event_time.FromDatetime(entry.event_time)
    message.created_at.FromDatetime(entry.created_at)
    return message


def match_message(match: Match) -> rules_pb2.DryRunMatch:
    """What a rule would do about an event, as the API shows it."""
    event = match.event
    message: rules_pb2.DryRunMatch = _decode_match(
        {
            "event_id": str(event.id),
            "event_type": event.type,
            "aggregate_id": str(event.aggregate_id),
            "too_deep": match.too_deep,
            "actions": [masked(action) for action in match.actions],
            "problems": list(match.problems),
        }
    )
    message.event_time.FromDatetime(event.time)
    return message
