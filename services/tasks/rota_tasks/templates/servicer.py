"""rota.tasks.v1.TemplateService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import templates_pb2, templates_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user
from rota_chassis.memberships import WRITERS
from rota_chassis.requests import request_of

from rota_tasks.projects.messages import project_message
from rota_tasks.series.recurrence_messages import recurrence_given
from rota_tasks.tasks.days import day, zone_name
from rota_tasks.tasks.messages import task_message
from rota_tasks.templates import commands, queries
from rota_tasks.templates.instantiating import Use, instantiate_template
from rota_tasks.templates.messages import content_of, template_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.projects.dependencies import Projects
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.templates.content import Content
    from rota_tasks.templates.domain import Template
    from rota_tasks.templates.making import Made


class TemplateServicer(templates_pb2_grpc.TemplateServiceServicer):
    """Serves templates."""

    def __init__(self, projects: Projects, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._projects = projects
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def CreateTemplate(
        self, request: templates_pb2.CreateTemplateRequest, _context: Any
    ) -> templates_pb2.CreateTemplateResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id
        await self._tasks.memberships.require(user.user_id, workspace_id, WRITERS)
        scope: dict[str, Any] = {"workspace_id": workspace_id, "comments": request.with_comments}
        project_id: UUID | None = None
        match request.WhichOneof("source"):
            case "from_project_id":
                project_id = UUID(request.from_project_id)
                content = await queries.content_of_project(self._projects, user, **scope, project_id=project_id)
            case "from_task_id":
                task_id = UUID(request.from_task_id)
                content, project_id = await queries.content_of_task(self._tasks, user, **scope, task_id=task_id)
            case _:
                content = _content(request.content)
        answer = await commands.create_template(
            self._tasks,
            user,
            workspace_id=workspace_id,
            name=request.name,
            description=request.description,
            content=content,
            project_id=project_id,
            request=request_of(request),
            answer_of=_created,
        )
        return templates_pb2.CreateTemplateResponse.FromString(answer)

    async def GetTemplate(
        self, request: templates_pb2.GetTemplateRequest, _context: Any
    ) -> templates_pb2.GetTemplateResponse:
        template = await queries.get_template(self._tasks, require_user(), template_id=UUID(request.id))
        return templates_pb2.GetTemplateResponse(template=template_message(template))

    async def ListTemplates(
        self, request: templates_pb2.ListTemplatesRequest, _context: Any
    ) -> templates_pb2.ListTemplatesResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        page = self._page_tokens.page(request, bound_to=["templates", user.user_id, workspace_id])
        found = await queries.list_templates(
            self._tasks, user, limit=page.limit, before=page.cursor(UUID), workspace_id=workspace_id
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return templates_pb2.ListTemplatesResponse(templates=map(template_message, rows), next_page_token=token)

    async def UpdateTemplate(
        self, request: templates_pb2.UpdateTemplateRequest, _context: Any
    ) -> templates_pb2.UpdateTemplateResponse:
        named = request.update_mask.paths
        changes: dict[str, Any] = {name: getattr(request, name) for name in ("name", "description") if name in named}
        given = {"name": bool(request.name), "content": request.HasField("content")}
        cleared = [name for name, there in given.items() if name in named and not there]
        if cleared:
            raise InvalidArgument(
                "A template always has a name and a content.",
                code="INVALID_FIELDS",
                violations=[Violation(name, "cannot be cleared", "required") for name in cleared],
            )
        if "content" in named:
            changes["content"] = _content(request.content)
        template = await commands.edit_template(
            self._tasks, require_user(), template_id=UUID(request.id), changes=changes, if_match=request.if_match
        )
        return templates_pb2.UpdateTemplateResponse(template=template_message(template))

    async def DeleteTemplate(
        self, request: templates_pb2.DeleteTemplateRequest, _context: Any
    ) -> templates_pb2.DeleteTemplateResponse:
        await commands.delete_template(
            self._tasks, require_user(), template_id=UUID(request.id), if_match=request.if_match
        )
        return templates_pb2.DeleteTemplateResponse()

    async def InstantiateTemplate(
        self, request: templates_pb2.InstantiateTemplateRequest, _context: Any
    ) -> templates_pb2.InstantiateTemplateResponse:
        answer = await instantiate_template(
            self._tasks,
            require_user(),
            template_id=UUID(request.id),
            use=Use(
                variables=dict(request.variables),
                start_on=day(request, "start_on"),
                project_id=UUID(request.project_id) if request.HasField("project_id") else None,
                time_zone=zone_name(request, "time_zone"),
            ),
            request=request_of(request),
            answer_of=_made,
        )
        return templates_pb2.InstantiateTemplateResponse.FromString(answer)


def _content(message: templates_pb2.TemplateContent) -> Content:
    """The content in a message.

    Raises:
        InvalidArgument: it names a time zone, or a day, that there is not.
    """
    for task in message.tasks:
        zone_name(task, "time_zone")
        recurrence_given(task)
    return content_of(message)


def _created(template: Template) -> bytes:
    return templates_pb2.CreateTemplateResponse(template=template_message(template)).SerializeToString()


def _made(made: Made) -> bytes:
    return templates_pb2.InstantiateTemplateResponse(
        project=None if made.project is None else project_message(made.project),
        task=task_message(made.tasks[0]) if made.tasks else None,
        task_ids=[str(task.id) for task in made.tasks],
    ).SerializeToString()
