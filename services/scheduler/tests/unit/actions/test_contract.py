"""Actions with what their runs share beside them."""

from __future__ import annotations

from typing import Any

import pytest
from rota_chassis.errors import InvalidArgument
from rota_scheduler.actions.contract import RefusedAction, action_given, action_of, units_asked
from rota_scheduler.actions.egress import EgressPolicy
from rota_scheduler.runs.allocation import SHARES, allocation_of

EVENT = {"event": {"type": "model.trained"}}
EGRESS = EgressPolicy(allow_private=True)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "priority": ({"priority": 101}, "action.priority"),
    "concurrency_key": ({"concurrency_key": ""}, "action.concurrency_key"),
    "concurrency_limit": ({"concurrency_key": "oven", "concurrency_limit": 1001}, "action.concurrency_limit"),
    "concurrency_policy": ({"concurrency_policy": "shout"}, "action.concurrency_policy"),
    "concurrency_group": ({"concurrency_group": "g" * 201}, "action.concurrency_group"),
    "rate_limit": ({"rate_limit": {"limit": 0, "period_s": 60}}, "action.rate_limit.limit"),
    "resources": ({"resources": {"gpus": 0}}, "action.resources[gpus]"),
}


def test_what_a_run_shares_is_no_part_of_its_action() -> None:
    shares = {
        "priority": 5,
        "concurrency_key": "oven",
        "concurrency_limit": 3,
        "concurrency_policy": "round_robin",
        "concurrency_group": "ada",
        "rate_limit": {"limit": 10, "period_s": 60},
        "resources": {"gpus": 2},
    }
    ordered = action_of({**EVENT, "timeout_s": 20, **shares}, EGRESS)
    assert SHARES.isdisjoint(ordered.action)
    assert ordered.action["timeout_s"] == 20
    assert ordered.shares == shares
    allocation = allocation_of(
        concurrency_key="oven",
        concurrency_policy="round_robin",
        concurrency_group="ada",
        rate_limit={"limit": 10, "period_s": 60},
        resources={"gpus": 2},
    )
    assert ordered.of_run == {
        "priority": 5,
        "concurrency_key": "oven",
        "concurrency_limit": 3,
        "allocation": allocation,
    }
    assert action_of(EVENT, EGRESS).of_run == {}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_each_share_is_checked_as_that_of_an_ordered_run(name: str) -> None:
    wrong, field = WRONG[name]
    with pytest.raises(InvalidArgument) as refused:
        action_given({**EVENT, **wrong}, EGRESS)
    assert refused.value.code == "INVALID_ACTION"
    assert [each.field for each in refused.value.violations] == [field]
    with pytest.raises(RefusedAction):
        action_of({**EVENT, **wrong}, EGRESS)


@pytest.mark.parametrize("member", ["unique", "debounce", "at", "after", "workspace_id"])
def test_other_members_of_an_ordered_run_are_none_of_an_action(member: str) -> None:
    with pytest.raises(RefusedAction):
        action_of({**EVENT, member: None}, EGRESS)


def test_the_most_units_are_asked_for_as_far_as_they_are_known() -> None:
    actions = [
        {**EVENT, "resources": {"gpus": 1, "disks": "${input.disks}"}},
        {**EVENT, "resources": {"gpus": 3}},
        {**EVENT, "resources": "${input.resources}"},
        EVENT,
    ]
    assert units_asked(actions) == {"gpus": 3}
