"""What sets a rule off, and what keeps it from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rota_chassis.ids import uuid7
from rota_scheduler.rules.domain import MAX_DEPTH, Edits, Hold, Outcome, Rule, edit, resume, set_off

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
OWNER, OTHER = uuid7(), uuid7()


def rule(**members: Any) -> Rule:
    given = {
        "id": uuid7(),
        "workspace_id": uuid7(),
        "name": "r",
        "events": ("task.created",),
        "actions": (),
        "active_since": NOW,
        "window_started_at": NOW,
        "owner_id": OWNER,
        "created_by": OWNER,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Rule(**given | members)


def test_a_rule_is_held_when_it_is_set_off_too_often_within_a_minute() -> None:
    found = rule(max_per_minute=2)
    for _ in range(2):
        found, outcome = set_off(found, depth=0, role="member", now=NOW)
        assert outcome is None
    held, outcome = set_off(found, depth=0, role="member", now=NOW + timedelta(seconds=59))
    assert (held.hold, outcome, held.version) == (Hold.RATE, Outcome.HELD, 2)
    assert not held.listens("task.created", NOW + timedelta(hours=1))
    later, outcome = set_off(found, depth=0, role="member", now=NOW + timedelta(seconds=60))
    assert (later.window_count, outcome) == (1, None)


def test_what_five_rules_have_led_to_sets_off_none() -> None:
    found = rule()
    assert set_off(found, depth=MAX_DEPTH, role="member", now=NOW) == (found, Outcome.TOO_DEEP)
    assert set_off(found, depth=MAX_DEPTH - 1, role="member", now=NOW)[1] is None


@pytest.mark.parametrize(("role", "hold"), [(None, Hold.OWNER_GONE), ("viewer", Hold.OWNER_ROLE)])
def test_a_rule_is_held_when_its_owner_may_not_act_any_more(role: str | None, hold: Hold) -> None:
    held, outcome = set_off(rule(), depth=0, role=role, now=NOW)
    assert (held.hold, held.held_at, outcome) == (hold, NOW, Outcome.HELD)


def test_a_resumed_rule_acts_for_whoever_resumed_it_from_then_on() -> None:
    held, _ = set_off(rule(), depth=0, role=None, now=NOW)
    resumed = resume(held, by=OTHER, now=NOW + timedelta(hours=1))
    assert (resumed.hold, resumed.owner_id, resumed.window_count) == (None, OTHER, 0)
    assert not resumed.listens("task.created", NOW)
    assert resumed.listens("task.created", NOW + timedelta(hours=1))
    assert resume(resumed, by=OWNER, now=NOW) is resumed


def test_a_change_makes_a_version_and_an_owner_and_no_change_makes_none() -> None:
    found = rule()
    assert edit(found, Edits(members={"name": "r"}), by=OTHER, now=NOW) is found
    edited = edit(found, Edits(members={"enabled": False}), by=OTHER, now=NOW)
    assert (edited.version, edited.owner_id, edited.etag) == (2, OTHER, '"v2"')
    assert not edited.listens("task.created", NOW)
    enabled = edit(edited, Edits(members={"enabled": True}), by=OTHER, now=NOW + timedelta(hours=1))
    assert not enabled.listens("task.created", NOW)
