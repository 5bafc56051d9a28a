"""Templates and their events as the contract writes them."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.events.v1 import events_pb2
from rota.tasks.v1 import boards_pb2, templates_pb2
from rota_chassis import codec
from rota_chassis.events.log import NewEvent

from rota_tasks.boards.domain import Guard
from rota_tasks.executions.messages import WHENS, action_struct, execution_given
from rota_tasks.fields.messages import TYPE_NUMBERS, TYPES
from rota_tasks.relations.messages import TYPES as RELATION_TYPES
from rota_tasks.series.recurrence_messages import recurrence_message, recurrence_of
from rota_tasks.tasks.domain import Priority
from rota_tasks.tasks.messages import PRIORITIES, PRIORITY_NUMBERS, STATUS_NUMBERS, STATUSES
from rota_tasks.templates.content import (
    Content,
    FieldPlan,
    ItemPlan,
    ProjectPlan,
    RelationPlan,
    SectionPlan,
    StatePlan,
    TaskPlan,
    Variable,
    VariableType,
    WayPlan,
)
from rota_tasks.templates.domain import (
    Template,
    TemplateCreated,
    TemplateDeleted,
    TemplateEvent,
    TemplateUpdated,
)
from rota_tasks.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota_tasks.executions.execution import Execution

_DATA = {
    TemplateCreated: events_pb2.TemplateCreated,
    TemplateUpdated: events_pb2.TemplateUpdated,
    TemplateDeleted: events_pb2.TemplateDeleted,
}
_KINDS = {
    each: templates_pb2.TemplateVariableType.Value(f"TEMPLATE_VARIABLE_TYPE_{each.name}") for each in VariableType
}
_KIND_OF = {number: each for each, number in _KINDS.items()}
_GUARDS = {each: boards_pb2.TransitionGuard.Value(f"TRANSITION_GUARD_{each.name}") for each in Guard}
_GUARD_OF = {number: each for each, number in _GUARDS.items()}
_ROLES = {
    None: boards_pb2.TRANSITION_ROLE_UNSPECIFIED,
    "admin": boards_pb2.TRANSITION_ROLE_ADMIN,
    "owner": boards_pb2.TRANSITION_ROLE_OWNER,
}
_ROLE_OF = {number: role for role, number in _ROLES.items()}
_RELATION_NUMBERS = {each: number for number, each in RELATION_TYPES.items()}
_SAME = ("key", "parent", "title", "description", "start", "due", "deadline", "remind", "time_zone", "category")
_LISTS = ("labels", "assignees", "watchers", "remind_before_s", "comments")
_WHEN_NUMBERS = {each: number for number, each in WHENS.items()}
_encode = codec.encoder(templates_pb2.TemplateContent)
_decode = codec.decoder(templates_pb2.TemplateContent)


def template_message(template: Template) -> templates_pb2.Template:
    """The template as the API shows it."""
    return templates_pb2.Template(
        id=str(template.id),
        workspace_id=str(template.workspace_id),
        name=template.name,
        description=template.description,
        content=None if template.content is None else content_message(template.content),
        makes_project=template.makes_project,
        task_count=template.task_count,
        created_by=str(template.created_by),
        created_at=timestamp(template.created_at),
        updated_at=timestamp(template.updated_at),
        version=template.version,
        etag=template.etag,
    )


def template_of(message: templates_pb2.Template, project_id: str = "") -> Template:
    """The template in a message, made from this project if it is named; the inverse of `template_message`."""
    return Template(
        id=UUID(message.id),
        workspace_id=UUID(message.workspace_id),
        name=message.name,
        description=message.description,
        content=content_of(message.content),
        makes_project=message.makes_project,
        task_count=message.task_count,
        project_id=UUID(project_id) if project_id else None,
        created_by=UUID(message.created_by),
        created_at=message.created_at.ToDatetime(UTC),
        updated_at=message.updated_at.ToDatetime(UTC),
        version=message.version,
    )


def content_message(content: Content) -> templates_pb2.TemplateContent:
    """The content as the API shows it."""
    return templates_pb2.TemplateContent(
        variables=[
            templates_pb2.TemplateVariable(
                name=each.name,
                type=_KINDS[each.type],
                description=each.description,
                default_value=each.default,
                required=each.required,
            )
            for each in content.variables
        ],
        project=None if content.project is None else _project_message(content.project),
        tasks=[_task_message(each) for each in content.tasks],
        relations=[
            templates_pb2.TemplateRelation(
                source=each.source, type=_RELATION_NUMBERS[each.type], target=each.target, lag_s=each.lag_s
            )
            for each in content.relations
        ],
    )


def content_of(message: templates_pb2.TemplateContent) -> Content:
    """The content in a message; the inverse of `content_message`."""
    return Content(
        variables=tuple(
            Variable(
                name=each.name,
                type=_KIND_OF.get(each.type, VariableType.TEXT),
                description=each.description,
                default=each.default_value if each.HasField("default_value") else None,
                required=each.required,
            )
            for each in message.variables
        ),
        project=_project_of(message.project) if message.HasField("project") else None,
        tasks=tuple(_task_of(each) for each in message.tasks),
        relations=tuple(
            RelationPlan(source=each.source, type=RELATION_TYPES[each.type], target=each.target, lag_s=each.lag_s)
            for each in message.relations
        ),
    )


def content_json(content: Content) -> dict[str, Any]:
    """The content as its row keeps it."""
    data: dict[str, Any] = _encode(content_message(content))
    return data


def content_of_json(data: Mapping[str, Any]) -> Content:
    """The inverse of `content_json`."""
    return content_of(_decode(data))


def event_message(event: TemplateEvent) -> NewEvent:
    """The event as the log keeps it."""
    template = event.template
    return NewEvent(
        workspace_id=template.workspace_id,
        aggregate_id=template.id,
        aggregate_version=template.version,
        data=_DATA[type(event)](template=template_message(template), project_id=str(template.project_id or "")),
        time=template.updated_at,
    )


def _project_message(project: ProjectPlan) -> templates_pb2.TemplateProject:
    return templates_pb2.TemplateProject(
        name=project.name,
        description=project.description,
        color=project.color,
        sections=[templates_pb2.TemplateSection(key=each.key, name=each.name) for each in project.sections],
        states=[
            templates_pb2.TemplateState(
                key=state.key,
                name=state.name,
                group=STATUS_NUMBERS[state.group],
                color=state.color,
                wip_limit=state.wip_limit,
                transitions=[
                    templates_pb2.TemplateTransition(
                        to=way.to,
                        guards=[_GUARDS[guard] for guard in way.guards],
                        role=_ROLES[way.role],
                        required_fields=way.required_fields,
                    )
                    for way in state.transitions
                ],
            )
            for state in project.states
        ],
        fields=[
            templates_pb2.TemplateField(
                name=each.name,
                type=TYPE_NUMBERS[each.type],
                options=[templates_pb2.TemplateOption(name=name, color=color) for name, color in each.options],
                required=each.required,
            )
            for each in project.fields
        ],
    )


def _project_of(message: templates_pb2.TemplateProject) -> ProjectPlan:
    return ProjectPlan(
        name=message.name,
        description=message.description,
        color=message.color,
        sections=tuple(SectionPlan(key=each.key, name=each.name) for each in message.sections),
        states=tuple(
            StatePlan(
                key=state.key,
                name=state.name,
                group=STATUSES[state.group],
                color=state.color,
                wip_limit=state.wip_limit,
                transitions=tuple(
                    WayPlan(
                        to=way.to,
                        guards=tuple(_GUARD_OF[guard] for guard in way.guards),
                        role=_ROLE_OF[way.role],
                        required_fields=tuple(way.required_fields),
                    )
                    for way in state.transitions
                ),
            )
            for state in message.states
        ),
        fields=tuple(
            FieldPlan(
                name=each.name,
                type=TYPES[each.type],
                options=tuple((option.name, option.color) for option in each.options),
                required=each.required,
            )
            for each in message.fields
        ),
    )


def _task_message(task: TaskPlan) -> templates_pb2.TemplateTask:
    return templates_pb2.TemplateTask(
        **{name: getattr(task, name) for name in (*_SAME, *_LISTS, "section", "state", "estimate_s")},
        priority=PRIORITY_NUMBERS[task.priority],
        checklist=[
            templates_pb2.TemplateChecklistItem(title=each.title, assignee=each.assignee) for each in task.checklist
        ],
        fields={name: templates_pb2.TemplateValue(values=values) for name, values in task.fields.items()},
        recurrence=None if task.recurrence is None else recurrence_message(task.recurrence),
        **_execution(task.execution),
    )


def _execution(execution: Execution | None) -> dict[str, Any]:
    if execution is None:
        return {}
    return {
        "action": action_struct(execution.action),
        "run_when": _WHEN_NUMBERS[execution.run_when],
        "complete_on_success": execution.complete_on_success,
    }


def _task_of(message: templates_pb2.TemplateTask) -> TaskPlan:
    same: dict[str, Any] = {name: getattr(message, name) for name in (*_SAME, "section", "state")}
    lists: dict[str, Any] = {name: tuple(getattr(message, name)) for name in _LISTS}
    return TaskPlan(
        **same,
        **lists,
        priority=PRIORITIES.get(message.priority, Priority.NONE),
        estimate_s=message.estimate_s if message.HasField("estimate_s") else None,
        checklist=tuple(ItemPlan(title=each.title, assignee=each.assignee) for each in message.checklist),
        fields={name: tuple(value.values) for name, value in message.fields.items()},
        recurrence=recurrence_of(message.recurrence) if message.HasField("recurrence") else None,
        execution=execution_given(message),
    )
