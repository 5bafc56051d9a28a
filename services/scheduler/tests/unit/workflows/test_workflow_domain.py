"""How a run of a workflow advances, over random graphs and orders of events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_scheduler.actions.secrets import MASK
from rota_scheduler.actions.templates import RefusedDefinition
from rota_scheduler.workflows.definition import parse, shown
from rota_scheduler.workflows.domain import FINISHED, ActionEnded, Order, RunStatus, StepStatus, advance, begin

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("http",)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    steps: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 9))):
        step: dict[str, Any] = {"action": {"http": {"url": "x"}}, "compensate": {"http": {"url": "undo"}}}
        if steps:
            step["needs"] = draw(st.lists(st.sampled_from(sorted(steps)), unique=True))
        if draw(st.integers(0, 5)) == 0:
            step["if"] = "false"
        steps[f"s{number}"] = step
    return {"steps": steps}


@given(graphs(), st.data())
def test_each_step_runs_once_after_what_it_needs_and_is_undone_in_reverse(graph: Any, data: st.DataObject) -> None:
    definition = parse(graph, KINDS)
    fails = data.draw(st.sets(st.sampled_from(sorted(definition.steps)), max_size=1))
    state, commands = advance(definition, begin(definition, None), Order.WAKE, NOW)
    open_keys = [command.key for command in commands]
    started, succeeded, undone = list(open_keys), [], []
    while open_keys:
        key = data.draw(st.sampled_from(open_keys))
        open_keys.remove(key)
        name = key.removesuffix("/compensate")
        ended = ActionEnded(key, error="No." if key in fails else None)
        if name != key:
            undone.append(name)
        elif key not in fails:
            succeeded.append(name)
        state, commands = advance(definition, state, ended, NOW)
        again, repeated = advance(definition, state, ended, NOW)
        assert (again, repeated) == (state, ())
        for command in commands:
            needs = definition.steps[command.key.removesuffix("/compensate")].needs
            done = {StepStatus.SUCCEEDED, StepStatus.SKIPPED}
            assert "/" in command.key or all(state.steps[need].status in done for need in needs)
            started.append(command.key)
            open_keys.append(command.key)
    assert len(started) == len(set(started))
    assert state.status in FINISHED
    failed = any(step.status is StepStatus.FAILED for step in state.steps.values())
    assert state.status is (RunStatus.FAILED if failed else RunStatus.SUCCEEDED)
    assert undone == (succeeded[::-1] if failed else [])


@given(graphs())
def test_a_cancelled_run_orders_nothing_more(graph: Any) -> None:
    definition = parse(graph, KINDS)
    state, commands = advance(definition, begin(definition, None), Order.WAKE, NOW)
    cancelled, nothing = advance(definition, state, Order.CANCEL, NOW)
    if state.status is RunStatus.SUCCEEDED:
        assert cancelled is state
        return
    assert (cancelled.status, nothing) == (RunStatus.CANCELLED, ())
    for command in commands:
        assert advance(definition, cancelled, ActionEnded(command.key), NOW) == (cancelled, ())


def test_a_wait_ends_at_its_time_and_not_before() -> None:
    definition = parse({"steps": {"w": {"wait": {"for_s": 10}}}}, KINDS)
    state, _ = advance(definition, begin(definition, None), Order.WAKE, NOW)
    assert state.wake_at == NOW + timedelta(seconds=10)
    early, _ = advance(definition, state, Order.WAKE, NOW + timedelta(seconds=9))
    assert early == state
    late, _ = advance(definition, state, Order.WAKE, NOW + timedelta(seconds=10))
    assert late.status is RunStatus.SUCCEEDED


def test_a_step_whose_expression_has_no_value_fails_with_the_reason() -> None:
    definition = parse({"steps": {"a": {"action": {"http": {"url": "${input.missing}"}}}}}, KINDS)
    state, commands = advance(definition, begin(definition, {}), Order.WAKE, NOW)
    assert (state.status, commands) == (RunStatus.FAILED, ())
    assert "missing" in (state.error or "")


def test_an_action_may_say_how_it_is_tried_again_and_its_secrets_are_not_shown() -> None:
    header = {"name": "authorization", "value": "Bearer 1", "sensitive": True}
    call = {"url": "https://example.com", "headers": [header], "signing_secret": "whsec_1"}
    step = {"action": {"http": call, "timeout_s": 5}, "compensate": {"http": call}}
    content = {"steps": {"a": step, "w": {"wait": {"for_s": 10}}}}
    parse(content, KINDS)
    told = shown(content)
    hidden = {**call, "headers": [{**header, "value": MASK}], "signing_secret": MASK}
    assert told["steps"]["a"] == {"action": {"http": hidden, "timeout_s": 5}, "compensate": {"http": hidden}}
    with pytest.raises(RefusedDefinition, match="mask of a secret"):
        parse(told, KINDS)
