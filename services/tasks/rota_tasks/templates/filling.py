"""Putting the values of variables into the texts of a template. Pure.

One pass: what a value holds is never looked at again, and nothing of it is run. What comes out is bounded as it grows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota_tasks.templates import actions
from rota_tasks.templates.checking import Problem, unfit
from rota_tasks.templates.content import NAMED, VariableType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rota_tasks.executions.execution import Execution
    from rota_tasks.templates.content import Content, ItemPlan, ProjectPlan, TaskPlan

MAX_OUTPUT = 5_000_000
"""Characters of all texts together."""
_MAX = {"title": 500, "description": 50_000, "category": 100, "labels": 100, "fields": 5_000, "name": 100}
_MAX |= {"comments": 20_000, "action": 60_000}
_MAX_PROJECT = {"name": 200, "description": 10_000}


class TooLongError(Exception):
    """A text is too long with its values; `place` says which."""

    def __init__(self, place: str, most: int) -> None:
        super().__init__(f"is longer than {most:,} characters with its values")
        self.place = place


def misgiven(content: Content, given: Mapping[str, str]) -> Sequence[Problem]:
    """What is wrong with the values that are given; nothing when the template can be filled with them."""
    known = {each.name: each for each in content.variables}
    found = [
        Problem(f"variables.{name}", "is no variable of the template", "unknown_variable")
        for name in given
        if name not in known
    ]
    for name, variable in known.items():
        value = given.get(name) or variable.default
        if not value and variable.required:
            found.append(Problem(f"variables.{name}", "needs a value", "required"))
        reason = unfit(variable.type, value) if value else None
        if reason is not None:
            found.append(Problem(f"variables.{name}", reason, "unfit"))
    return found


def values_of(content: Content, given: Mapping[str, str]) -> Mapping[str, str]:
    """The value of each variable, empty for none; `misgiven` has found nothing wrong with those that are given."""
    return {each.name: given.get(each.name) or each.default or "" for each in content.variables}


def users_among(content: Content, values: Mapping[str, str]) -> Mapping[str, str]:
    """The ids of users that variables hold, by the names of these."""
    users = (each.name for each in content.variables if each.type is VariableType.USER)
    return {name: values[name] for name in users if values[name]}


def fill(content: Content, values: Mapping[str, str]) -> Content:
    """The content with all texts as they will be; dates still name their variables.

    Raises:
        TooLongError: one, or all together, would be too long.
    """
    return _Filler(values).content(content)


class _Filler:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._left = MAX_OUTPUT

    def content(self, content: Content) -> Content:
        return replace(
            content,
            project=None if content.project is None else self._project(content.project),
            tasks=tuple(self._task(each, f"tasks[{index}]") for index, each in enumerate(content.tasks)),
        )

    def _project(self, project: ProjectPlan) -> ProjectPlan:
        texts: dict[str, Any] = {
            name: self._text(getattr(project, name), f"project.{name}", most) for name, most in _MAX_PROJECT.items()
        }
        sections = (
            replace(each, name=self._text(each.name, f"project.sections[{index}].name", _MAX["name"]))
            for index, each in enumerate(project.sections)
        )
        states = (
            replace(each, name=self._text(each.name, f"project.states[{index}].name", _MAX["name"]))
            for index, each in enumerate(project.states)
        )
        return replace(project, **texts, sections=tuple(sections), states=tuple(states))

    def _task(self, task: TaskPlan, place: str) -> TaskPlan:
        texts: dict[str, Any] = {
            name: self._text(getattr(task, name), f"{place}.{name}", _MAX[name])
            for name in ("title", "description", "category")
        }
        lists: dict[str, Any] = {name: tuple(self._people(getattr(task, name))) for name in ("assignees", "watchers")}
        return replace(
            task,
            **texts,
            **lists,
            execution=self._execution(task.execution, f"{place}.action"),
            comments=tuple(
                self._text(each, f"{place}.comments[{index}]", _MAX["comments"])
                for index, each in enumerate(task.comments)
            ),
            labels=tuple(self._text(each, f"{place}.labels", _MAX["labels"]) for each in task.labels),
            checklist=tuple(self._item(each, f"{place}.checklist[{step}]") for step, each in enumerate(task.checklist)),
            fields={
                name: tuple(self._text(each, f"{place}.fields.{name}", _MAX["fields"]) for each in values)
                for name, values in task.fields.items()
            },
        )

    def _execution(self, execution: Execution | None, place: str) -> Execution | None:
        if execution is None:
            return None
        action = actions.changed(execution.action, lambda text: self._text(text, place, _MAX["action"]))
        return replace(execution, action=action)

    def _item(self, item: ItemPlan, place: str) -> ItemPlan:
        title = self._text(item.title, f"{place}.title", _MAX["title"])
        return replace(item, title=title, assignee=next(self._people([item.assignee]), ""))

    def _people(self, people: Iterable[str]) -> Iterator[str]:
        filled = (self._text(each, "", _MAX["title"]) for each in people)
        return (each for each in filled if each)

    def _text(self, text: str, place: str, most: int) -> str:
        pieces, at, length = [], 0, 0
        for found in NAMED.finditer(text):
            value = found[0][1:] if found[1] else self._values[found[2]]
            pieces += [text[at : found.start()], value]
            length += found.start() - at + len(value)
            if length > most:
                raise TooLongError(place, most)
            at = found.end()
        pieces.append(text[at:])
        filled = "".join(pieces)
        if len(filled) > most:
            raise TooLongError(place, most)
        self._left -= len(filled)
        if self._left < 0:
            raise TooLongError(place, MAX_OUTPUT)
        return filled
