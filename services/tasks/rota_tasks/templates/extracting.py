"""The content of a template that makes what there is already: from tasks, or a whole project. Pure.

Dates count from the earliest. What is done begins open; of a task that recurs the newest occurrence is taken, and its
rule counts anew. Each secret of an action, of which only the mask is known, becomes a variable.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rota_tasks.copies.dates import BEGIN, MOVED, earliest
from rota_tasks.copies.domain import Completed, chosen, newest_occurrences
from rota_tasks.executions.execution import Execution
from rota_tasks.fields.domain import FORMS, FieldType
from rota_tasks.tasks.domain import OPEN
from rota_tasks.templates.actions import MASK, changed, texts
from rota_tasks.templates.content import (
    MAX_COMMENTS,
    MAX_VARIABLES,
    NAMED,
    Content,
    FieldPlan,
    ItemPlan,
    ProjectPlan,
    RelationPlan,
    SectionPlan,
    StatePlan,
    TaskPlan,
    Variable,
    WayPlan,
)
from rota_tasks.templates.dates import written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any
    from uuid import UUID

    from rota_tasks.checklists.domain import ChecklistItem
    from rota_tasks.comments.domain import Comment
    from rota_tasks.copies.domain import Content as Source
    from rota_tasks.fields.domain import CustomField
    from rota_tasks.relations.domain import Relation
    from rota_tasks.series.recurrence import Recurrence
    from rota_tasks.tasks.domain import Task

_MAX_DESCRIPTION = 200
_DATES = {
    "start": ("start_on", "start_at"),
    "due": ("due_on", "due_at"),
    "deadline": ("deadline_at",),
    "remind": ("remind_at",),
}


def extract(
    tasks: Sequence[Task],
    items: Sequence[ChecklistItem],
    relations: Sequence[Relation],
    fields: Sequence[CustomField],
    labels: Mapping[UUID, str],
    *,
    comments: Sequence[Comment] = (),
    of: Source | None = None,
) -> Content:
    """The content that makes these.

    Args:
        tasks: Those above others first.
        items: The steps of their checklists in order.
        relations: Those between them.
        fields: The custom fields that they have values of.
        labels: The names of their labels.
        comments: Those on them that come along, the oldest first.
        of: The project that it makes, if it makes one.
    """
    taken = chosen(tasks, Completed.REOPEN)
    keys = {task.id: f"t{number}" for number, task in enumerate(sorted(taken, key=lambda task: task.id), start=1)}
    sections = {each.id: f"s{number}" for number, each in enumerate(of.sections if of else (), start=1)}
    states = {each.id: f"c{number}" for number, each in enumerate(of.states if of else (), start=1)}
    start_on = earliest(taken, BEGIN) or earliest(taken, MOVED) or date.min
    steps: dict[UUID, list[ChecklistItem]] = {}
    for item in items:
        steps.setdefault(item.task_id, []).append(item)
    by_id = {str(each.id): each for each in fields}
    said: dict[UUID, list[str]] = {}
    for comment in comments:
        said.setdefault(comment.task_id, []).append(_literal(comment.text))
    going_on = newest_occurrences(taken)
    secrets: list[Variable] = []
    return Content(
        project=None if of is None else _project(of, sections, states),
        tasks=tuple(
            TaskPlan(
                key=keys[task.id],
                parent="" if task.parent_id is None else keys.get(task.parent_id, ""),
                title=_literal(task.title),
                description=_literal(task.description),
                priority=task.priority,
                time_zone=task.time_zone,
                estimate_s=task.estimate_s,
                category=_literal(task.category),
                labels=tuple(_literal(labels[each]) for each in task.label_ids if each in labels),
                assignees=tuple(map(str, task.assignee_ids)),
                watchers=tuple(map(str, task.watcher_ids)),
                section=sections.get(task.section_id, "") if task.section_id else "",
                state=states.get(task.state_id, "") if task.state_id and task.status in OPEN else "",
                remind_before_s=task.remind_before_s,
                checklist=tuple(
                    ItemPlan(title=_literal(each.title), assignee=str(each.assignee_id or ""))
                    for each in steps.get(task.id, ())
                ),
                fields={
                    by_id[key].name: _texts(by_id[key], value) for key, value in task.fields.items() if key in by_id
                },
                comments=tuple(said.get(task.id, ())[:MAX_COMMENTS]),
                recurrence=_recurrence(task) if task.id in going_on else None,
                execution=_execution(task, secrets),
                **_dates(task, start_on),
            )
            for task in taken
        ),
        variables=tuple(secrets),
        relations=tuple(
            RelationPlan(source=keys[each.source_id], type=each.type, target=keys[each.task_id], lag_s=each.lag_s)
            for each in relations
            if each.source_id in keys and each.task_id in keys
        ),
    )


def _project(of: Source, sections: Mapping[UUID, str], states: Mapping[UUID, str]) -> ProjectPlan:
    return ProjectPlan(
        name=_literal(of.project.name),
        description=_literal(of.project.description),
        color=of.project.color,
        sections=tuple(SectionPlan(key=sections[each.id], name=_literal(each.name)) for each in of.sections),
        states=tuple(
            StatePlan(
                key=states[state.id],
                name=_literal(state.name),
                group=state.group,
                color=state.color,
                wip_limit=state.wip_limit,
                transitions=tuple(
                    WayPlan(
                        to=states[way.to_state_id],
                        guards=way.guards,
                        role=way.role,
                        required_fields=way.required_fields,
                    )
                    for way in state.transitions
                    if way.to_state_id in states
                ),
            )
            for state in of.states
        ),
        fields=tuple(
            FieldPlan(
                name=each.name,
                type=each.type,
                options=tuple((option.name, option.color) for option in each.options),
                required=each.required and all(str(each.id) in task.fields for task in of.tasks),
            )
            for each in of.fields
        ),
    )


def _dates(task: Task, start_on: date) -> dict[str, str]:
    zone = ZoneInfo(task.time_zone) if task.time_zone else UTC
    return {
        name: next((text for each in sources if (text := written(getattr(task, each), start_on, zone))), "")
        for name, sources in _DATES.items()
    }


def _recurrence(task: Task) -> Recurrence | None:
    return None if task.recurrence is None else replace(task.recurrence, start=None)


def _execution(task: Task, secrets: list[Variable]) -> Execution | None:
    """What a task does, with a variable added to `secrets` in place of each mask; None when they are too many."""
    if task.execution is None:
        return None
    if len(secrets) + list(texts(task.execution.action)).count(MASK) > MAX_VARIABLES:
        return None

    def known(text: str) -> str:
        if text != MASK:
            return _literal(text)
        name = f"secret_{len(secrets) + 1}"
        description = f"A secret of the action of: {task.title}"[:_MAX_DESCRIPTION]
        secrets.append(Variable(name=name, required=True, description=description))
        return f"{{{{{name}}}}}"

    action = changed(task.execution.action, known)
    return Execution(
        action=action, run_when=task.execution.run_when, complete_on_success=task.execution.complete_on_success
    )


def _values(task: Task, by_id: Mapping[str, CustomField]) -> dict[str, tuple[str, ...]]:
    found = {by_id[key].name: _texts(by_id[key], value) for key, value in task.fields.items() if key in by_id}
    return {name: values for name, values in found.items() if any(values)}


def _texts(custom: CustomField, value: Mapping[str, Any]) -> tuple[str, ...]:
    """A value in words."""
    options = {str(option.id): option.name for option in custom.options}
    given = value.get(FORMS[custom.type])
    match custom.type:
        case FieldType.MULTI_SELECT:
            return tuple(_literal(options[each]) for each in given["ids"] if each in options) if given else ()
        case FieldType.SELECT:
            return (_literal(options.get(str(given), "")),)
        case FieldType.MONEY:
            return (f"{given['amount']} {given['currency']}",) if given else ()
    return (_literal(str(given)),)


def _literal(text: str) -> str:
    """The text, in which nothing is taken for a variable."""
    return NAMED.sub(lambda found: f"\\{found[0]}", text)
