"""A rule: when something happens, if a condition holds, do something.

    active --set off too often, owner gone or without rights--> held --resume--> active

What keeps rules from setting off each other for ever: an event carries how many rules led to it, and one to which
`MAX_DEPTH` did sets off none; and a rule that is set off more often than it allows within a minute is held.

Pure: functions take a rule and return what follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

MAX_DEPTH = 5
MAX_RULES = 200
"""In a workspace, which bounds what each of its events costs."""
DEFAULT_PER_MINUTE = 60
WINDOW = timedelta(minutes=1)
WRITERS = frozenset({"owner", "admin", "member"})


class Hold(StrEnum):
    """Why a rule is not set off until it is resumed."""

    RATE = "rate"
    OWNER_GONE = "owner_gone"
    OWNER_ROLE = "owner_role"


class Outcome(StrEnum):
    """What came of an event that the condition let through."""

    FIRED = "fired"
    FAILED = "failed"
    TOO_DEEP = "too_deep"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The fields are those of rota.scheduler.v1.Rule.

    Attributes:
        events: The types that it waits for (`on`).
        condition: In the language of filters (`when`).
        actions: Templates of the JSON form of rota.scheduler.v1.Action.
        active_since: Events from before do not set it off.
        window_started_at: When the minute began in which `window_count` events have set it off.
    """

    id: UUID
    workspace_id: UUID
    project_id: UUID | None = None
    name: str
    events: tuple[str, ...]
    condition: str = ""
    actions: tuple[Mapping[str, Any], ...]
    enabled: bool = True
    max_per_minute: int = DEFAULT_PER_MINUTE
    hold: Hold | None = None
    held_at: datetime | None = None
    active_since: datetime
    window_started_at: datetime
    window_count: int = 0
    owner_id: UUID
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def etag(self) -> str:
        """Strong entity tag of this version, quotes included."""
        return f'"v{self.version}"'

    def listens(self, event_type: str, at: datetime) -> bool:
        """Whether an event of this type, at this time, may set it off."""
        return self.enabled and self.hold is None and event_type in self.events and at >= self.active_since


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """An event that the condition of a rule let through, and what came of it.

    Attributes:
        project_ids: The projects that the event is about: whoever may not see one of them does not see the entry.
    """

    workspace_id: UUID
    rule_id: UUID
    id: UUID
    event_id: UUID
    event_type: str
    event_time: datetime
    depth: int
    outcome: Outcome
    run_ids: tuple[UUID, ...] = ()
    problems: tuple[str, ...] = ()
    hold: Hold | None = None
    project_ids: tuple[str, ...] = ()
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Changes to a rule: members of `Rule` by their names; what is not there keeps what is."""

    members: Mapping[str, Any] = field(default_factory=dict)


def edit(rule: Rule, edits: Edits, *, by: UUID, now: datetime) -> Rule:
    """The rule with the changes made, acting for whoever made them; itself when they change nothing."""
    edited = replace(rule, **edits.members)
    if edited == rule:
        return rule
    since = rule.active_since if rule.enabled else now
    return replace(edited, owner_id=by, active_since=since, updated_at=now, version=rule.version + 1)


def resume(rule: Rule, *, by: UUID, now: datetime) -> Rule:
    """The rule, not held, acting for whoever resumed it; itself when it is not held."""
    if rule.hold is None:
        return rule
    return replace(
        rule,
        hold=None,
        held_at=None,
        active_since=now,
        window_count=0,
        owner_id=by,
        updated_at=now,
        version=rule.version + 1,
    )


def set_off(rule: Rule, *, depth: int, role: str | None, now: datetime) -> tuple[Rule, Outcome | None]:
    """The rule after an event that its condition let through, and what came of it, or None if its actions are due.

    Args:
        rule: The rule.
        depth: How many rules, one after the other, led to the event.
        role: Of whoever the rule acts for, in its workspace; None when they do not belong to it.
        now: When that is.
    """
    if depth >= MAX_DEPTH:
        return rule, Outcome.TOO_DEEP
    if role is None:
        return _held(rule, Hold.OWNER_GONE, now), Outcome.HELD
    if role not in WRITERS:
        return _held(rule, Hold.OWNER_ROLE, now), Outcome.HELD
    if now - rule.window_started_at >= WINDOW:
        rule = replace(rule, window_started_at=now, window_count=0)
    if rule.window_count >= rule.max_per_minute:
        return _held(rule, Hold.RATE, now), Outcome.HELD
    return replace(rule, window_count=rule.window_count + 1), None


def _held(rule: Rule, why: Hold, now: datetime) -> Rule:
    return replace(rule, hold=why, held_at=now, updated_at=now, version=rule.version + 1)
