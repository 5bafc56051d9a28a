"""Events in, runs of actions out.

The inbox row, the runs, the log and the count of the rule commit together: an event that is delivered twice, to one
replica or to two, sets a rule off once, and a process that dies leaves either nothing or all of it. Which rules an
event concerns is found without a lock; those are locked, and asked again.

A rule acts for its owner: what happens in a project that is hidden from them does not set it off, and is not logged.

An event from before a rule was made, enabled or resumed does not set it off, so that a new consumer, which begins with
the oldest event that is kept, changes nothing of the past.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid5

from rota.events.v1 import events_pb2
from rota_chassis.errors import InvalidArgument
from rota_chassis.ids import uuid7
from rota_chassis.logs import logger

from rota_scheduler import origins
from rota_scheduler.metrics import RULES_SET_OFF
from rota_scheduler.origins import Origin
from rota_scheduler.rules import store
from rota_scheduler.rules.domain import LogEntry, Outcome, set_off
from rota_scheduler.rules.facts import EVENT_TYPES, Facts, lets_through
from rota_scheduler.rules.messages import event_of
from rota_scheduler.rules.sight import projects_of, seeing
from rota_scheduler.rules.templates import actions_for
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.domain import Run, of_projects

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.work import Reader, UnitOfWork

    from rota_scheduler.actions.contract import Ordered
    from rota_scheduler.rules.dependencies import Rules
    from rota_scheduler.rules.domain import Rule

CONSUMER = "scheduler-rules"
_LOG = logger(__name__)


def handlers(rules: Rules) -> Mapping[str, Handler]:
    """The events that set rules off, for a consumer of their own: timers and ends of runs wait for some of them too."""
    return dict.fromkeys(EVENT_TYPES, partial(on_event, rules))


async def concerned(rules: Rules, events: Sequence[Event]) -> Collection[UUID]:
    """The ids of those of the events that a rule waits for, as far as is committed."""
    return await store.concerned(rules.database, events)


async def on_event(rules: Rules, work: UnitOfWork, event: Event) -> None:
    """Queue what the rules of the event's workspace have to do about it."""
    waiting = await store.listening(work.ahead, workspace_id=event.workspace_id, event_type=event.type, at=event.time)
    if not waiting:
        return
    facts = Facts.of(event)
    concerned = [rule.id for rule in waiting if _lets_through(rule, facts)]
    if not concerned:
        return
    depth = await depth_of(work, facts)
    found = await store.lock_some(work, workspace_id=event.workspace_id, rule_ids=concerned)
    project_ids = await projects_of(rules.projects, facts)
    seen_by = await seeing(rules.projects, work, facts, [rule.owner_id for rule in found], project_ids)
    for rule in found:
        if rule.listens(event.type, event.time) and _lets_through(rule, facts):
            role = await rules.memberships.known_role(work, rule.owner_id, rule.workspace_id)
            # A rule whose owner is gone is held, whatever it was set off by.
            if role is None or rule.owner_id in seen_by:
                await _set_off(rules, work, rule, facts, depth, role=role, project_ids=project_ids or ())


async def depth_of(reader: Reader, facts: Facts) -> int:
    """How many rules, one after the other, led to an event.

    What is told of a run happens outside of any request: there it is the run that knows.
    """
    if facts.event.causation_depth or facts.run_id is None:
        return facts.event.causation_depth
    origin = await origins.of_id(reader, workspace_id=facts.event.workspace_id, run_id=facts.run_id)
    return origin.causation_depth


async def _set_off(
    rules: Rules,
    work: UnitOfWork,
    rule: Rule,
    facts: Facts,
    depth: int,
    *,
    role: str | None,
    project_ids: Collection[str],
) -> None:
    event, now = facts.event, rules.clock.now()
    after, outcome = set_off(rule, depth=depth, role=role, now=now)
    started: Sequence[Run] = ()
    problems: Sequence[str] = ()
    if outcome is None:
        found, problems = actions_for(rule, facts, rules.egress)
        started = [_run(rule, event, index, ordered, now, project_ids=project_ids) for index, ordered in found]
        await runs.add(work, started)
        await origins.add(work, started, Origin(rule_id=rule.id, causation_depth=depth + 1))
        outcome = Outcome.FIRED if started else Outcome.FAILED
    if after is not rule:
        await store.save(work, after)
    if after.hold is not None:
        work.append(event_of(events_pb2.RuleHeld, after, now))
        _LOG.warning("rule.held", rule_id=rule.id, reason=after.hold.value)
    RULES_SET_OFF.labels(outcome).inc()
    await store.log(
        work,
        LogEntry(
            workspace_id=rule.workspace_id,
            rule_id=rule.id,
            id=uuid7(),
            event_id=event.id,
            event_type=event.type,
            event_time=event.time,
            depth=depth,
            outcome=outcome,
            run_ids=tuple(run.id for run in started),
            problems=tuple(problems),
            hold=after.hold,
            project_ids=tuple(project_ids),
            created_at=now,
        ),
    )


def _run(rule: Rule, event: Event, index: int, ordered: Ordered, now: datetime, *, project_ids: Collection[str]) -> Run:
    run_id = uuid5(rule.id, f"{event.id}/{index}")
    return Run(
        workspace_id=rule.workspace_id,
        id=run_id,
        schedule_id=run_id,
        nominal_time=now,
        action=of_projects(ordered.action, project_ids),
        acts_for=rule.owner_id,
        available_at=now,
        **ordered.of_run,
    )


def _lets_through(rule: Rule, facts: Facts) -> bool:
    try:
        return lets_through(rule, facts)
    except InvalidArgument as error:
        # It was written for an event that had other members; the other rules must not wait for it.
        _LOG.warning("rule.unreadable", rule_id=rule.id, error=str(error))
        return False
