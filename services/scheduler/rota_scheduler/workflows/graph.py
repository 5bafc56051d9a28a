"""The steps of a run as a picture: of Mermaid, and drawn.

Drawn, a step stands one row below the lowest that it needs; a line goes from each that it needs to it. Names and states
of steps are of a-z, 0-9, _ and a few words, so nothing has to be escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota_scheduler.workflows.state import Item, StepState, StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rota_scheduler.workflows.state import State
    from rota_scheduler.workflows.steps import Definition

_WIDTH, _HEIGHT, _GAP = 180, 48, 36
_SHOWN = 22
_TEXT = 'font-family="sans-serif" font-size="13" text-anchor="middle"'
_COLOURS = {
    StepStatus.PENDING: "#eeeeee",
    StepStatus.RUNNING: "#cfe3ff",
    StepStatus.WAITING: "#fff2c4",
    StepStatus.SUCCEEDED: "#d3f2d5",
    StepStatus.FAILED: "#ffd3d0",
    StepStatus.SKIPPED: "#f7f7f7",
    StepStatus.CANCELLED: "#dddddd",
    StepStatus.COMPENSATING: "#ffe3c4",
    StepStatus.COMPENSATED: "#e9ddf5",
}


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps by their names, each after those that it needs, and what needs what."""

    steps: Mapping[str, StepState]
    edges: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, definition: Definition, state: State) -> Graph:
        """The graph of a run."""
        steps = {name: state.steps.get(name, StepState()) for name in definition.steps}
        return cls(steps, [(need, step.id) for step in definition.steps.values() for need in step.needs])

    def mermaid(self) -> str:
        """A flowchart."""
        # A prefix keeps names apart from the words of Mermaid.
        return "\n".join(
            [
                "flowchart TD",
                *(f'  s_{name}["{name}: {_standing(step)}"]' for name, step in self.steps.items()),
                *(f"  s_{before} --> s_{after}" for before, after in self.edges),
            ]
        )

    def svg(self) -> str:
        """A drawing."""
        places = self._places()
        right = max(x for x, _ in places.values()) + _WIDTH + _GAP
        bottom = max(y for _, y in places.values()) + _HEIGHT + _GAP
        size = f'width="{right}" height="{bottom}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_TEXT}>',
                *(_line(places[before], places[after]) for before, after in self.edges),
                *(_box(places[name], name, step) for name, step in self.steps.items()),
                "</svg>",
            ]
        )

    def _places(self) -> Mapping[str, tuple[int, int]]:
        """The upper left corner of each step's box."""
        rows = dict.fromkeys(self.steps, 0)
        for before, after in self.edges:
            rows[after] = max(rows[after], rows[before] + 1)
        filled: dict[int, int] = {}
        places = {}
        for name, row in rows.items():
            column = filled.get(row, 0)
            filled[row] = column + 1
            places[name] = (_GAP + column * (_WIDTH + _GAP), _GAP + row * (_HEIGHT + _GAP))
        return places


def _standing(step: StepState) -> str:
    if step.items is None:
        return step.status
    ended = len(step.items) - step.items.count(Item.PENDING) - step.items.count(Item.RUNNING)
    return f"{step.status}, {ended} of {len(step.items)}"


def _line(before: tuple[int, int], after: tuple[int, int]) -> str:
    x1, y1, x2, y2 = before[0] + _WIDTH // 2, before[1] + _HEIGHT, after[0] + _WIDTH // 2, after[1]
    bend = _GAP // 2
    return f'<path d="M{x1} {y1} C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}" fill="none" stroke="#888888"/>'


def _box(place: tuple[int, int], name: str, step: StepState) -> str:
    (x, y), middle = place, place[0] + _WIDTH // 2
    shown = name if len(name) <= _SHOWN else f"{name[: _SHOWN - 1]}…"
    return (
        f"<g><title>{name}</title>"
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{_COLOURS[step.status]}"'
        ' stroke="#888888"/>'
        f'<text x="{middle}" y="{y + 20}" font-weight="bold">{shown}</text>'
        f'<text x="{middle}" y="{y + 38}">{_standing(step)}</text></g>'
    )
