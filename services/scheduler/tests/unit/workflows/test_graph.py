"""The picture of a run."""

from __future__ import annotations

import re
from dataclasses import replace

from rota_scheduler.workflows.definition import parse
from rota_scheduler.workflows.domain import begin
from rota_scheduler.workflows.graph import Graph
from rota_scheduler.workflows.state import StepState, StepStatus

CALL = {"http": {"url": "x"}}
BOX = re.compile(r'<title>(.+?)</title><rect x="(\d+)" y="(\d+)"')


def test_a_step_is_drawn_below_all_that_it_needs_and_no_two_in_one_place() -> None:
    steps = {
        "c": {"action": CALL, "needs": ["a", "b"]},
        "a": {"action": CALL},
        "b": {"action": CALL, "needs": ["a"]},
        "d": {"action": CALL},
    }
    definition = parse({"steps": steps}, ("http",))
    state = begin(definition, None)
    running = StepState(status=StepStatus.RUNNING, items="sfr..")
    graph = Graph.of(definition, replace(state, steps={**state.steps, "a": running}))
    drawing = graph.svg()
    boxes = {name: (int(x), int(y)) for name, x, y in BOX.findall(drawing)}
    assert boxes["a"][1] < boxes["b"][1] < boxes["c"][1]
    assert len(set(boxes.values())) == 4
    assert drawing.count("<path ") == 3
    assert "running, 2 of 5" in drawing
    assert 's_a["a: running, 2 of 5"]' in graph.mermaid()


def test_a_long_name_is_cut_and_said_in_full_where_one_points() -> None:
    name = "a" * 64
    definition = parse({"steps": {name: {"action": CALL}}}, ("http",))
    drawing = Graph.of(definition, begin(definition, None)).svg()
    assert drawing.count(name) == 1
    assert f"<title>{name}</title>" in drawing
