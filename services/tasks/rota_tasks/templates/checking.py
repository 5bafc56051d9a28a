"""What must be so of a template, so that it can be made. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING
from uuid import UUID

from rota_tasks.fields.domain import WITH_OPTIONS, FieldType
from rota_tasks.relations.domain import INVERSES, MAX_RELATIONS, RelationType
from rota_tasks.tasks.domain import MAX_LEVELS
from rota_tasks.templates import actions
from rota_tasks.templates.content import MAX_ASKED, ProjectPlan, VariableType, names_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rota_tasks.templates.content import Content, RelationPlan, TaskPlan

_ORDERING = frozenset({RelationType.BLOCKS, RelationType.FINISHES_BEFORE})


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong: where, why, and the kind of it."""

    field: str
    description: str
    reason: str


def unfit(kind: VariableType, value: str) -> str | None:
    """Why a variable of this type cannot have the value; None when it can."""
    try:
        match kind:
            case VariableType.DATE:
                date.fromisoformat(value)
            case VariableType.USER:
                UUID(value)
            case VariableType.NUMBER:
                if not Decimal(value).is_finite():
                    return "is no number"
    except (ValueError, InvalidOperation):
        return {
            VariableType.DATE: "is no day such as 2026-11-21",
            VariableType.USER: "is no id of a user",
        }.get(kind, "is no number")
    return None


def problems(content: Content) -> Sequence[Problem]:
    """What of a content cannot be; nothing when it can be made."""
    return [
        *_of_variables(content),
        *_of_project(content),
        *_of_tasks(content),
        *_of_relations(content),
        *_of_names(content),
    ]


def _of_variables(content: Content) -> Iterator[Problem]:
    for index in _repeated(each.name for each in content.variables):
        yield Problem(f"variables[{index}].name", "is taken by another variable", "duplicate")
    for index, each in enumerate(content.variables):
        reason = unfit(each.type, each.default) if each.default else None
        if reason is not None:
            yield Problem(f"variables[{index}].default_value", reason, "unfit")


def _of_project(content: Content) -> Iterator[Problem]:
    project = content.project
    if project is None:
        return
    taken = [
        *(f"project.sections[{index}].key" for index in _repeated(each.key for each in project.sections)),
        *(f"project.states[{index}].key" for index in _repeated(each.key for each in project.states)),
        *(f"project.fields[{index}].name" for index in _repeated(each.name for each in project.fields)),
    ]
    for index, each in enumerate(project.fields):
        taken += [
            f"project.fields[{index}].options[{place}].name" for place in _repeated(name for name, _ in each.options)
        ]
        if each.options and each.type not in WITH_OPTIONS:
            yield Problem(f"project.fields[{index}].options", "are only for a select", "unfit")
    yield from (Problem(place, "is taken by another", "duplicate") for place in taken)
    states = {each.key for each in project.states}
    for index, state in enumerate(project.states):
        for place, way in enumerate(state.transitions):
            if way.to not in states:
                yield Problem(f"project.states[{index}].transitions[{place}].to", "is no state", "not_found")


def _of_tasks(content: Content) -> Iterator[Problem]:
    levels: dict[str, int] = {"": 0}
    for index, task in enumerate(content.tasks):
        place = f"tasks[{index}]"
        level = levels.get(task.parent)
        if level is None:
            yield Problem(f"{place}.parent", "is the key of no task before it", "not_found")
        elif level >= MAX_LEVELS:
            yield Problem(f"{place}.parent", f"is too deep: tasks nest at most {MAX_LEVELS} levels", "too_deep")
        if task.key and task.key in levels:
            yield Problem(f"{place}.key", "is taken by another task", "duplicate")
        elif task.key:
            levels[task.key] = (level or 0) + 1
        yield from _in_project(place, task, content.project)
        yield from _in_time(place, task, content)
    for what in ("recurrence", "execution"):
        if sum(getattr(task, what) is not None for task in content.tasks) > MAX_ASKED:
            yield Problem("tasks", f"have more than {MAX_ASKED} with the same: {what}", "too_many")


def _in_time(place: str, task: TaskPlan, content: Content) -> Iterator[Problem]:
    """What is wrong with how it recurs and with what it does."""
    if task.recurrence is not None and _recurs_above(task, content):
        yield Problem(f"{place}.recurrence", "is that of a part of a task that recurs", "nested")
    if task.execution is None:
        return
    for secret in actions.secrets(task.execution.action):
        if secret == actions.MASK:
            yield Problem(f"{place}.action", "has the mask of a secret; name a variable there", "masked")
        elif not actions.is_kept_elsewhere(secret):
            yield Problem(f"{place}.action", "holds a secret; name a variable there", "secret")


def _recurs_above(task: TaskPlan, content: Content) -> bool:
    by_key = {each.key: each for each in content.tasks if each.key}
    seen = {task.key}
    above = by_key.get(task.parent)
    while above is not None and above.key not in seen:
        if above.recurrence is not None:
            return True
        seen.add(above.key)
        above = by_key.get(above.parent)
    return False


def _in_project(place: str, task: TaskPlan, project: ProjectPlan | None) -> Iterator[Problem]:
    plan = project or ProjectPlan(name="")
    if task.section and task.section not in {each.key for each in plan.sections}:
        yield Problem(f"{place}.section", "is no section of the template's project", "not_found")
    if task.state and task.state not in {each.key for each in plan.states}:
        yield Problem(f"{place}.state", "is no state of the template's project", "not_found")
    fields = {each.name: each for each in plan.fields}
    for name, values in task.fields.items():
        if project is not None and name not in fields:
            yield Problem(f"{place}.fields.{name}", "is no custom field of the template's project", "not_found")
        elif name in fields and len(values) > 1 and fields[name].type is not FieldType.MULTI_SELECT:
            yield Problem(f"{place}.fields.{name}", "has one value", "unfit")
    for name, each in fields.items():
        if each.required and name not in task.fields:
            yield Problem(f"{place}.fields.{name}", "needs a value", "required")


def _of_relations(content: Content) -> Iterator[Problem]:
    keys = {each.key for each in content.tasks if each.key}
    seen: set[tuple[str, RelationType, str]] = set()
    counts: Counter[str] = Counter()
    for index, each in enumerate(content.relations):
        wrong = [name for name in ("source", "target") if getattr(each, name) not in keys]
        yield from (Problem(f"relations[{index}].{name}", "is the key of no task", "not_found") for name in wrong)
        if each.source == each.target:
            yield Problem(f"relations[{index}].target", "is the task itself", "self_relation")
        elif (each.source, each.type, each.target) in seen:
            yield Problem(f"relations[{index}]", "is said already", "duplicate")
        elif not wrong:
            seen |= _both_ways(each)
            counts.update((each.source, each.target))
    yield from _circles(seen)
    for key, count in counts.items():
        if count > MAX_RELATIONS:
            yield Problem("relations", f"of {key} are more than {MAX_RELATIONS}", "too_many")


def _circles(relations: set[tuple[str, RelationType, str]]) -> Iterator[Problem]:
    for kinds in (_ORDERING, {RelationType.DUPLICATES}):
        before: dict[str, set[str]] = {}
        for source, kind, target in relations:
            if kind in kinds:
                before.setdefault(target, set()).add(source)
        try:
            TopologicalSorter(before).prepare()
        except CycleError as error:
            yield Problem("relations", f"form a circle: {' -> '.join(error.args[1][:10])}", "cycle")


def _both_ways(relation: RelationPlan) -> set[tuple[str, RelationType, str]]:
    return {
        (relation.source, relation.type, relation.target),
        (relation.target, INVERSES[relation.type], relation.source),
    }


def _of_names(content: Content) -> Iterator[Problem]:
    known = {each.name: each.type for each in content.variables}
    for place, text, wanted in texts(content):
        for name in names_in(text):
            if name not in known:
                yield Problem(place, f"names {{{{{name}}}}}, which is no variable of the template", "unknown_variable")
            elif wanted is not None and known[name] is not wanted:
                yield Problem(place, f"names {{{{{name}}}}}, which is a {known[name]}", "unfit")


def texts(content: Content) -> Iterator[tuple[str, str, VariableType | None]]:
    """All that may name variables, with its place, and the type that these must have if it matters."""
    project = content.project
    if project is not None:
        yield "project.name", project.name, None
        yield "project.description", project.description, None
        for index, section in enumerate(project.sections):
            yield f"project.sections[{index}].name", section.name, None
        for index, state in enumerate(project.states):
            yield f"project.states[{index}].name", state.name, None
    for index, task in enumerate(content.tasks):
        yield from ((f"tasks[{index}].{name}", text, wanted) for name, text, wanted in _texts_of(task))


def _texts_of(task: TaskPlan) -> Iterator[tuple[str, str, VariableType | None]]:
    for name in ("title", "description", "category"):
        yield name, getattr(task, name), None
    for name in ("start", "due", "deadline", "remind"):
        yield name, getattr(task, name), VariableType.DATE
    for name in ("assignees", "watchers"):
        yield from ((name, each, VariableType.USER) for each in getattr(task, name))
    yield from (("labels", each, None) for each in task.labels)
    yield from ((f"comments[{index}]", each, None) for index, each in enumerate(task.comments))
    if task.execution is not None:
        yield from (("action", each, None) for each in actions.texts(task.execution.action))
    for step, item in enumerate(task.checklist):
        yield f"checklist[{step}].title", item.title, None
        yield f"checklist[{step}].assignee", item.assignee, VariableType.USER
    yield from ((f"fields.{name}", each, None) for name, values in task.fields.items() for each in values)


def _repeated(names: Iterable[str]) -> Iterator[int]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield index
        seen.add(name)
