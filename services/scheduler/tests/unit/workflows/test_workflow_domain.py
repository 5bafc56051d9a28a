"""How a run of a workflow advances, over random graphs and orders of events."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_scheduler.actions.secrets import MASK
from rota_scheduler.actions.templates import RefusedDefinition
from rota_scheduler.expressions import ExpressionError
from rota_scheduler.workflows.definition import parse, shown
from rota_scheduler.workflows.domain import RefusedRetry, advance, begin, busy
from rota_scheduler.workflows.items import order_of_item
from rota_scheduler.workflows.state import (
    DONE,
    FINISHED,
    ActionEnded,
    Decided,
    GatherItems,
    Heard,
    ItemsGathered,
    KeepItems,
    KeepOutcome,
    Key,
    Order,
    Part,
    Retry,
    RunStatus,
    RunWorkflow,
    StepStatus,
    TakeItem,
)
from rota_scheduler.workflows.steps import MAX_ITEMS
from rota_scheduler.workflows.waits import DECISIONS, waiters

if TYPE_CHECKING:
    from rota_scheduler.workflows.state import Event, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("http", "create_task")
CALL = {"http": {"url": "x"}}
WORKFLOW = "0194f0c4-0000-7000-8000-000000000000"


class Going:
    """A run, and what lies outside of it: what has been ordered, and the rows of the items."""

    def __init__(self, steps: dict[str, Any], content: Any = None, **rest: Any) -> None:
        self.definition = parse({"steps": steps, **rest}, KINDS)
        self.state = begin(self.definition, content)
        self.open: list[str] = []
        self.started: list[str] = []
        self.ordered: dict[str, Any] = {}
        self.items: dict[str, list[dict[str, Any]]] = {}

    @property
    def statuses(self) -> dict[str, str]:
        return {name: step.status.value for name, step in self.state.steps.items()}

    def tell(self, event: Event, now: datetime = NOW) -> None:
        """Advance it, and do what it orders as the engine does."""
        events = deque([event])
        while events:
            self.state, commands = advance(self.definition, self.state, events.popleft(), now)
            for command in commands:
                match command:
                    case KeepItems():
                        rows = [{"item": value, "output": None, "error": None} for value in command.values]
                        self.items[command.step] = rows
                    case KeepOutcome():
                        self.items[command.step][command.item] |= {"output": command.output, "error": command.error}
                    case GatherItems():
                        outputs = [row["output"] if row["error"] is None else None for row in self.items[command.step]]
                        events.append(ItemsGathered(command.step, outputs))
                    case TakeItem():
                        key = Key.parse(command.key)
                        kept = self.items[key.step][key.item or 0]
                        try:
                            self._order(order_of_item(self.definition.steps[key.step], self.state, key, kept))
                        except ExpressionError as error:
                            events.append(ActionEnded(command.key, error=str(error)))
                    case _:
                        self._order(command)

    def end(self, key: str, output: Any = None, error: str | None = None) -> None:
        """End what has been ordered under a key."""
        self.open.remove(key)
        self.tell(ActionEnded(key, error=error, output=output))

    def _order(self, command: Any) -> None:
        self.open.append(command.key)
        self.started.append(command.key)
        self.ordered[command.key] = command


def started(steps: dict[str, Any], content: Any = None, **rest: Any) -> Going:
    going = Going(steps, content, **rest)
    going.tell(Order.WAKE)
    return going


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    steps: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 9))):
        step: dict[str, Any] = {"action": CALL, "compensate": CALL}
        if steps:
            step["needs"] = draw(st.lists(st.sampled_from(sorted(steps)), unique=True))
        if draw(st.integers(0, 5)) == 0:
            step["if"] = "false"
        if draw(st.integers(0, 2)) == 0:
            count = draw(st.integers(0, 4))
            step["for_each"] = {"in": str(list(range(count))), "max_parallel": draw(st.integers(1, 3))}
        steps[f"s{number}"] = step
    return steps


@given(graphs(), st.data())
def test_what_is_done_is_done_once_after_what_it_needs_and_undone_in_reverse(graph: Any, data: st.DataObject) -> None:
    going = Going(graph)
    before: State = going.state
    fails = data.draw(st.sets(st.sampled_from(sorted(graph)), max_size=1))
    done: list[Key] = []
    undone: list[Key] = []

    def look() -> None:
        nonlocal before
        for key in map(Key.parse, going.started[checked:]):
            needs = going.definition.steps[key.step].needs
            assert key.part or all(going.state.steps[need].status in DONE for need in needs)
        for name, step in going.state.steps.items():
            each = going.definition.steps[name].for_each
            if each is not None:
                assert max((step.items or "").count("r"), (step.items or "").count("u")) <= each.max_parallel
        assert sorted(going.open) == sorted(map(str, busy(going.state)))
        before = going.state

    checked = 0
    going.tell(Order.WAKE)
    look()
    while going.open:
        key = Key.parse(data.draw(st.sampled_from(going.open)))
        fail = not key.part and key.step in fails and key.item in {None, 1}
        checked = len(going.started)
        going.end(str(key), error="No." if fail else None)
        if not fail:
            (undone if key.part else done).append(key)
        look()
        going.tell(ActionEnded(str(key), error="No." if fail else None))
        assert going.state == before
    assert len(going.started) == len(set(going.started))
    assert going.state.status in FINISHED
    failed = StepStatus.FAILED in {step.status for step in going.state.steps.values()}
    assert going.state.status is (RunStatus.FAILED if failed else RunStatus.SUCCEEDED)
    assert sorted(map(str, undone)) == (sorted(f"{key}/compensate" for key in done) if failed else [])
    whole = [key.step for key in done if key.item is None]
    assert [key.step for key in undone if key.item is None] == (whole[::-1] if failed else [])
    if failed:
        _check_retry(going)


def _check_retry(going: Going) -> None:
    """All that is not done is done again, under new keys, and nothing else."""
    keep = {name for name, step in going.state.steps.items() if step.status in DONE}
    earlier = len(going.started)
    going.tell(Retry())
    while going.open:
        going.end(going.open[0])
    assert going.state.status is RunStatus.SUCCEEDED
    assert going.state.attempt == 2
    assert len(going.started) == len(set(going.started))
    again = {Key.parse(key).step for key in going.started[earlier:]}
    needing = going.definition.after(frozenset(going.state.steps) - keep)
    assert again <= needing


@given(graphs())
def test_a_cancelled_run_orders_nothing_more(graph: Any) -> None:
    going = started(graph)
    if going.state.status is RunStatus.SUCCEEDED:
        return
    count = len(going.started)
    going.tell(Order.CANCEL)
    cancelled = going.state
    assert cancelled.status is RunStatus.CANCELLED
    for key in list(going.open):
        going.end(key)
    assert (going.state, len(going.started)) == (cancelled, count)


@pytest.mark.parametrize(
    "key",
    [Key("a"), Key("a", 2), Key("a_1", 1, 17), Key("a", 3, 0, Part.COMPENSATE), Key("a", part=Part.WITHDRAW)],
    ids=["step", "attempt", "item", "compensate", "withdraw"],
)
def test_a_key_is_read_as_it_is_written(key: Key) -> None:
    assert Key.parse(str(key)) == key


def test_a_wait_ends_at_its_time_and_not_before() -> None:
    going = started({"w": {"wait": {"for_s": 10}}})
    assert going.state.wake_at == NOW + timedelta(seconds=10)
    early = going.state
    going.tell(Order.WAKE, NOW + timedelta(seconds=9))
    assert going.state == early
    going.tell(Order.WAKE, NOW + timedelta(seconds=10))
    assert going.state.status is RunStatus.SUCCEEDED


def test_a_step_whose_expression_has_no_value_fails_with_the_reason() -> None:
    going = started({"a": {"action": {"http": {"url": "${input.missing}"}}}}, {})
    assert (going.state.status, going.open) == (RunStatus.FAILED, [])
    assert "missing" in (going.state.error or "")


def test_a_retry_begins_with_the_step_and_keeps_what_came_before() -> None:
    steps = {
        "a": {"action": CALL},
        "b": {"action": {"http": {"url": "${steps.a.output}"}}, "needs": ["a"]},
        "c": {"action": CALL, "needs": ["b"]},
    }
    going = started(steps)
    going.end("a", "one")
    going.end("b", "two")
    going.end("c", error="No.")
    assert going.state.error == "c: No."
    going.tell(Retry("b"))
    assert (going.open, going.state.error, going.state.attempt) == (["b#2"], None, 2)
    assert going.ordered["b#2"].action == {"http": {"url": "one"}}
    going.tell(ActionEnded("b", output="late"))
    assert going.statuses == {"a": "succeeded", "b": "running", "c": "pending"}
    going.end("b#2", "three")
    going.end("c#2")
    assert going.state.status is RunStatus.SUCCEEDED
    assert going.state.steps["b"].output == "three"


def test_a_retry_that_would_leave_out_what_has_been_undone_is_refused() -> None:
    steps = {"a": {"action": CALL, "compensate": CALL}, "b": {"action": CALL, "needs": ["a"]}}
    going = started(steps)
    with pytest.raises(RefusedRetry, match="goes on"):
        going.tell(Retry())
    going.end("a")
    going.end("b", error="No.")
    going.end("a/compensate")
    with pytest.raises(RefusedRetry, match="undone: a"):
        going.tell(Retry("b"))
    going.tell(Retry())
    assert going.open == ["a#2"]
    going.end("a#2")
    going.end("b#2")
    with pytest.raises(RefusedRetry, match="has succeeded"):
        going.tell(Retry("b"))


def test_items_know_what_they_are_and_yield_a_list_in_their_order() -> None:
    step = {"for_each": {"in": "input.names", "max_parallel": 2}, "action": {"http": {"url": "${index} ${item.n}"}}}
    going = started({"a": step}, {"names": [{"n": "x"}, {"n": "y"}, {"n": "z"}]})
    assert going.open == ["a[0]", "a[1]"]
    assert going.ordered["a[1]"].action == {"http": {"url": "1 y"}}
    for key in ("a[1]", "a[2]", "a[0]"):
        going.end(key, key)
    assert going.state.steps["a"].output == ["a[0]", "a[1]", "a[2]"]


def test_items_that_are_done_are_undone_with_what_they_yielded() -> None:
    step = {
        "for_each": {"in": "input", "max_parallel": 1},
        "action": CALL,
        "compensate": {"http": {"url": "undo ${item} ${output.id}"}},
    }
    going = started({"a": step}, ["x", "y", "z"])
    going.end("a[0]", {"id": 7})
    going.end("a[1]", error="No.")
    assert (going.open, going.state.error) == (["a[0]/compensate"], "a: item 1: No.")
    assert going.ordered["a[0]/compensate"].action == {"http": {"url": "undo x 7"}}
    going.end("a[0]/compensate")
    assert (going.state.status, going.state.steps["a"].items) == (RunStatus.FAILED, "cf.")
    assert going.statuses == {"a": "failed"}


def test_items_go_on_past_one_that_fails_where_that_is_said() -> None:
    step = {"for_each": {"in": "input", "max_parallel": 1, "on_item_failure": "continue"}, "action": CALL}
    going = started({"a": step}, [1, 2])
    going.end("a[0]", error="No.")
    going.end("a[1]", "yes")
    assert (going.state.status, going.state.steps["a"].output) == (RunStatus.SUCCEEDED, [None, "yes"])


def test_a_retry_does_only_those_items_that_are_not_done() -> None:
    going = started({"a": {"for_each": {"in": "input", "max_parallel": 2}, "action": CALL}}, [1, 2, 3])
    going.end("a[0]", "one")
    going.end("a[2]", "three")
    going.end("a[1]", error="No.")
    going.tell(Retry("a"))
    assert going.open == ["a#2[1]"]
    going.end("a#2[1]", "two")
    assert going.state.steps["a"].output == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("content", "words"), [(7, "none"), ([0] * (MAX_ITEMS + 1), f"{MAX_ITEMS + 1}")], ids=["number", "many"]
)
def test_what_is_no_list_or_too_long_fails_the_step(content: Any, words: str) -> None:
    going = started({"a": {"for_each": {"in": "input"}, "action": CALL}}, content)
    assert going.state.status is RunStatus.FAILED
    assert words in (going.state.error or "")


def test_an_event_ends_a_wait_once_and_not_that_of_an_earlier_attempt() -> None:
    wait = {"wait": {"event": {"type": "task.completed", "where": "id = ${input}", "timeout_s": 60}}}
    going = started({"w": wait}, WORKFLOW)
    (waiter,) = waiters(going.definition, going.state)
    assert (waiter.key, waiter.event_type, waiter.where) == ("w", "task.completed", f"id = {WORKFLOW}")
    assert waiter.since == NOW
    going.tell(Order.WAKE, NOW + timedelta(seconds=60))
    assert going.state.error == "w: No such event came in time."
    assert not list(waiters(going.definition, going.state))
    going.tell(Retry())
    going.tell(Heard("w", {"n": 1}))
    assert going.statuses == {"w": "waiting"}
    going.tell(Heard("w#2", {"n": 2}))
    going.tell(Heard("w#2", {"n": 3}))
    assert (going.state.status, going.state.steps["w"].output) == (RunStatus.SUCCEEDED, {"n": 2})


def decided(task: str, *, approved: bool) -> Decided:
    return Decided(task, {"approved": approved, "by": "eva", "at": "2026-01-01T00:00:00Z", "task_id": task})


def test_an_approval_waits_for_its_task_to_be_decided() -> None:
    going = started({"ok": {"approval": {"title": "Ship ${input}?"}}}, 7)
    assert going.ordered["ok"].action == {"create_task": {"title": "Ship 7?"}}
    (waiter,) = waiters(going.definition, going.state)
    assert (waiter.event_type, waiter.subject) == (DECISIONS, None)
    going.end("ok", {"task_id": "t"})
    assert going.statuses == {"ok": "waiting"}
    (waiter,) = waiters(going.definition, going.state)
    assert waiter.subject == "t"
    going.tell(decided("other", approved=True))
    assert going.statuses == {"ok": "waiting"}
    going.tell(decided("t", approved=True))
    assert going.state.steps["ok"].output["by"] == "eva"


def test_a_decision_that_comes_before_it_is_known_which_task_it_is_counts() -> None:
    going = started({"ok": {"approval": {"title": "Ship?"}}})
    going.tell(decided("other", approved=True))
    going.tell(decided("t", approved=False))
    going.end("ok", {"task_id": "t"})
    assert going.state.error == "ok: It was refused by eva."


def test_a_refusal_leaves_it_to_the_conditions_of_others_where_that_is_said() -> None:
    steps = {
        "ok": {"approval": {"title": "Ship?", "on_refusal": "continue"}},
        "ship": {"action": CALL, "needs": ["ok"], "if": "steps.ok.output.approved"},
    }
    going = started(steps)
    going.end("ok", {"task_id": "t"})
    going.tell(decided("t", approved=False))
    assert going.statuses == {"ok": "succeeded", "ship": "skipped"}


@pytest.mark.parametrize("how", ["time", "cancel", "failure"])
def test_the_task_of_an_approval_that_nobody_waits_for_is_taken_back(how: str) -> None:
    going = started({"ok": {"approval": {"title": "Ship?", "timeout_s": 60}}, "other": {"action": CALL}})
    going.end("ok", {"task_id": "t"})
    match how:
        case "time":
            going.tell(Order.WAKE, NOW + timedelta(seconds=60))
            assert going.state.steps["ok"].error == "Nobody decided in time."
        case "cancel":
            going.tell(Order.CANCEL)
        case "failure":
            going.end("other", error="No.")
    taken_back = {"task": {"transition": {"task_id": "t", "status": "cancelled"}}}
    assert going.ordered["ok/withdraw"].action == taken_back


def test_a_step_that_runs_a_workflow_yields_its_output() -> None:
    step = {"workflow": {"workflow_id": "${input.id}", "input": {"n": "${input.n}"}}}
    going = started({"a": step}, {"id": WORKFLOW, "n": 7}, output="${steps.a.output}")
    assert going.ordered["a"] == RunWorkflow("a", WORKFLOW, {"n": 7})
    going.end("a", {"made": 1})
    assert going.state.output == {"made": 1}


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
