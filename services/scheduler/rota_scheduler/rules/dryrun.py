"""What a rule would do about past events; it does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rota_scheduler.rules import queries
from rota_scheduler.rules.domain import MAX_DEPTH
from rota_scheduler.rules.facts import Facts, lets_through
from rota_scheduler.rules.handlers import depth_of
from rota_scheduler.rules.past import past_events
from rota_scheduler.rules.sight import Sight
from rota_scheduler.rules.templates import actions_for

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.events.envelope import Event
    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.rules.dependencies import Rules

EXAMINED = 5_000
READ = 10_000
SHOWN = 100
_A_DAY = timedelta(days=1)
_KEPT = timedelta(days=30)
_SLACK = timedelta(minutes=1)
_UUID7 = 7
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Match:
    """An event that the rule lets through, and what it would do."""

    event: Event
    too_deep: bool
    actions: Sequence[Mapping[str, Any]]
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class DryRun:
    """The fields are those of rota.scheduler.v1.DryRunRuleResponse."""

    examined: int
    matched: int
    matches: Sequence[Match]
    truncated: bool


async def dry_run(
    rules: Rules,
    user: UserPrincipal,
    *,
    rule_id: UUID,
    start: datetime | None,
    end: datetime | None,
    event_ids: Collection[UUID],
) -> DryRun:
    """Ask the rule about past events, and say what it would do.

    What happened in a project that is hidden from the rule's owner does not concern the rule, and from who asks it is
    kept.

    Args:
        rules: What it needs.
        user: Who asks.
        rule_id: The rule; whether it is enabled or held does not matter.
        start: Only events from this time on; absent means a day ago, or when the first of `event_ids` was made.
        end: Only events before this time; absent means now.
        event_ids: Only these; empty means all.

    Raises:
        NotFound: the rule does not exist, or not for the user.
        Unavailable: past events cannot be read now (code EVENTS_UNAVAILABLE).
    """
    rule = await queries.get_rule(rules, user, rule_id=rule_id)
    now = rules.clock.now()
    end, wanted = min(end or now, now), frozenset(event_ids)
    if start is None:
        start = _earliest(wanted, now) if wanted else now - _A_DAY
    # None is older than what is kept, and none newer than now.
    start = min(max(start, now - _KEPT), now)
    read = examined = matched = 0
    matches: list[Match] = []
    sight = Sight(rules.projects, rules.database, (rule.owner_id, user.user_id))
    async with past_events(rules.nats, rule.workspace_id, rule.events, since=start) as events:
        async for event in events:
            if read == READ or examined == EXAMINED:
                return DryRun(examined, matched, matches, truncated=True)
            read += 1
            if not start <= event.time < end:
                # The stream is in the order in which events arrived, which lags a little.
                if event.time >= end + _SLACK:
                    break
                continue
            if wanted and event.id not in wanted:
                continue
            facts = Facts.of(event)
            if not await sight.includes(facts):
                continue
            examined += 1
            if lets_through(rule, facts):
                matched += 1
                if len(matches) < SHOWN:
                    found, problems = actions_for(rule, facts, rules.egress)
                    too_deep = await depth_of(rules.database, facts) >= MAX_DEPTH
                    matches.append(
                        Match(event, too_deep, [{**each.action, **each.shares} for _, each in found], problems)
                    )
    return DryRun(examined, matched, matches, truncated=False)


def _earliest(event_ids: Collection[UUID], now: datetime) -> datetime:
    """When the first of the events was made, as far as their ids tell."""
    if any(each.version != _UUID7 for each in event_ids):
        return now - _KEPT
    made_ms = min(each.int >> 80 for each in event_ids)
    return _EPOCH + timedelta(milliseconds=min(made_ms, int(now.timestamp() * 1000))) - _SLACK
