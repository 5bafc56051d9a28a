"""What makes things of a template: any number may use it at once, and each makes all of it in one transaction.

A call that is repeated with the same request id gets the answer of the first. Dying before the commit leaves nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from rota_chassis.errors import Conflict, InvalidArgument, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS

from rota_tasks import answers, bulk, locks
from rota_tasks.boards import store as boards
from rota_tasks.boards.domain import State
from rota_tasks.bulk import Bulk
from rota_tasks.fields import store as fields
from rota_tasks.imports import lookups
from rota_tasks.keys import commands as keys
from rota_tasks.labels.domain import name_key
from rota_tasks.projects import store as projects
from rota_tasks.projects.domain import Visibility
from rota_tasks.tasks import requirements
from rota_tasks.templates import asking, filling, queries
from rota_tasks.templates.commands import invalid
from rota_tasks.templates.making import Maker, Occasion, UnmakeableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork
    from rota_chassis.requests import Request

    from rota_tasks.executions.execution import Execution
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.templates.content import Content
    from rota_tasks.templates.domain import Template
    from rota_tasks.templates.making import Made

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How to use a template; the fields are those of rota.tasks.v1.InstantiateTemplateRequest."""

    variables: Mapping[str, str]
    start_on: date | None = None
    project_id: UUID | None = None
    time_zone: str = ""


async def instantiate_template(
    tasks: Tasks,
    user: UserPrincipal,
    *,
    template_id: UUID,
    use: Use,
    request: Request | None,
    answer_of: Callable[[Made], bytes],
) -> bytes:
    """Make what a template says; the answer.

    Raises:
        NotFound: the template, or the project, does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        InvalidArgument: a variable is unknown, missing or of another type (code INVALID_VARIABLES), a text would be too
            long (code TEMPLATE_OUTPUT_TOO_LONG), a date would lie outside the calendar (code DATE_OUT_OF_RANGE), or
            something else cannot be as it would be (code INVALID_TEMPLATE).
        Conflict: a project is named though the template makes one, a variable holds a user who is no member, or a state
            is full.
        Unprocessable: the request id was used for another content.
        Unavailable: a task recurs or acts, and the scheduler cannot be asked now.
    """
    template = await queries.get_template(tasks, user, template_id=template_id)
    workspace_id = template.workspace_id
    # In a project the role counts that the user has there.
    await tasks.memberships.require(user.user_id, workspace_id, WRITERS if use.project_id is None else None)
    if template.content is None:
        raise LookupError("a template was read without its content")
    content, values = _filled(template.content, use)
    if content.project is not None and use.project_id is not None:
        raise Conflict(
            "This template makes a project of its own; leave `project_id` out.",
            code="TEMPLATE_MAKES_PROJECT",
            violations=[Violation("project_id", "is not taken by a template that makes a project", "makes_project")],
        )
    users = filling.users_among(content, values)
    people = {*map(UUID, users.values()), *_people(content)}
    strangers = frozenset(await requirements.strangers_to(tasks, workspace_id, use.project_id, list(people)))
    _refuse_strangers(users, strangers)
    now = tasks.clock.now()
    today = now.astimezone(ZoneInfo(use.time_zone) if use.time_zone else UTC).date()

    start_on = use.start_on or today
    series, executions = await _asked(tasks, user, template, content, use, values=values, start_on=start_on)

    async def make(work: UnitOfWork) -> bytes:
        async def act() -> bytes:
            await requirements.require_project(work, user, workspace_id, use.project_id)
            # What was made of what only some see is for some only, until its admin says otherwise.
            private = (
                content.project is not None
                and template.project_id is not None
                and await projects.is_private(work, workspace_id=workspace_id, project_id=template.project_id)
            )
            blind = await requirements.blind_to_own(work, user, workspace_id, list(people)) if private else ()
            _refuse_strangers(users, frozenset(blind))
            among: dict[str, Any] = {"workspace_id": workspace_id, "project_id": use.project_id}
            occasion = Occasion(
                workspace_id=workspace_id,
                by=user.user_id,
                now=now,
                start_on=start_on,
                time_zone=use.time_zone,
                values=values,
                project_id=use.project_id,
                states=await boards.columns(work, State, **among) if use.project_id else [],
                fields=await fields.hold(work, **among) if use.project_id else [],
                labels=await lookups.labels(work, workspace_id, _label_keys(content)),
                strangers=strangers.union(blind),
                series=series,
                executions=executions,
            )
            made = _made(content, occasion)
            if use.project_id is not None:
                await _require_room(work, made, occasion)
            if made.project is not None:
                if private:
                    made.project = replace(made.project, visibility=Visibility.PRIVATE)
                made.project = await keys.named(work, made.project)
            made.tasks = list(await bulk.add(work, _bulk(made)))
            return answer_of(made)

        return await answers.once(work, request, act, workspace_id=workspace_id, user_id=user.user_id)

    held = [] if use.project_id is None else [locks.board(use.project_id)]
    for _attempt in range(_ATTEMPTS - 1):
        try:
            return await tasks.database.ordered(make, *held)
        except asyncpg.UniqueViolationError:
            # Someone made one of its labels at the same time; now it is there.
            continue
    return await tasks.database.ordered(make, *held)


def _filled(content: Content, use: Use) -> tuple[Content, Mapping[str, str]]:
    wrong = filling.misgiven(content, use.variables)
    if wrong:
        names = ", ".join(each.field.removeprefix("variables.") for each in wrong)
        raise InvalidArgument(
            f"Variables are unknown, missing or of another type: {names}.",
            code="INVALID_VARIABLES",
            violations=[Violation(each.field, each.description, each.reason) for each in wrong],
        )
    values = filling.values_of(content, use.variables)
    try:
        return filling.fill(content, values), values
    except filling.TooLongError as error:
        raise InvalidArgument(
            f"`{error.place}` {error}; give shorter ones.",
            code="TEMPLATE_OUTPUT_TOO_LONG",
            violations=[Violation(f"content.{error.place}", str(error), "too_long")],
        ) from error


def _made(content: Content, occasion: Occasion) -> Made:
    with _unmakeable():
        return Maker(content, occasion, uuid7).make()


async def _asked(
    tasks: Tasks,
    user: UserPrincipal,
    template: Template,
    content: Content,
    use: Use,
    *,
    values: Mapping[str, str],
    start_on: date,
) -> tuple[Mapping[int, Mapping[str, Any]], Mapping[int, Execution]]:
    with _unmakeable():
        series = await asking.series_of(
            tasks, content, values=values, start_on=start_on, time_zone=use.time_zone, now=tasks.clock.now()
        )
        return series, await asking.executions_of(tasks, user, template, content)


@contextmanager
def _unmakeable() -> Iterator[None]:
    try:
        yield
    except UnmakeableError as error:
        raise invalid("The template cannot be made with what is given; look at `errors`.", error.problems) from error
    except OverflowError as error:
        raise InvalidArgument(
            "A date would lie outside the calendar; choose another start.",
            code="DATE_OUT_OF_RANGE",
            violations=[Violation("start_on", "moves a date out of the calendar", "out_of_range")],
        ) from error


def _bulk(made: Made) -> Bulk:
    return Bulk(
        projects=[] if made.project is None else [made.project],
        columns=[*made.states, *made.sections],
        fields=made.fields,
        labels=made.labels,
        tasks=made.tasks,
        items=made.items,
        relations=made.relations,
        comments=made.comments,
    )


async def _require_room(work: UnitOfWork, made: Made, occasion: Occasion) -> None:
    """Return if the state that the tasks begin in has room for them; its board is held."""
    state = next((each for each in occasion.states if made.tasks and each.id == made.tasks[0].state_id), None)
    if state is None or not state.wip_limit:
        return
    there = await boards.count_in(
        work, State, workspace_id=state.workspace_id, project_id=state.project_id, column_id=state.id
    )
    if there + len(made.tasks) > state.wip_limit:
        raise Conflict(
            f"{state.name} may hold {state.wip_limit}, and has {there} already; move tasks out of it first.",
            code="WIP_LIMIT_REACHED",
            violations=[Violation("project_id", f"{state.name} may hold {state.wip_limit}", "wip_limit")],
        )


def _people(content: Content) -> Iterable[UUID]:
    """Whom the tasks name, and whom values of custom fields may."""
    named = [
        each
        for task in content.tasks
        for each in (
            *task.assignees,
            *task.watchers,
            *(item.assignee for item in task.checklist),
            *(text for values in task.fields.values() for text in values),
        )
    ]
    for each in dict.fromkeys(named):
        try:
            yield UUID(each)
        except ValueError:
            continue


def _label_keys(content: Content) -> set[str]:
    return {name_key(name) for task in content.tasks for name in task.labels if name.strip()}


def _refuse_strangers(users: Mapping[str, str], strangers: frozenset[UUID]) -> None:
    found = [name for name, user_id in users.items() if UUID(user_id) in strangers]
    if found:
        raise Conflict(
            "Only members of the workspace can be named; invite them first.",
            code="ASSIGNEE_NOT_A_MEMBER",
            violations=[
                Violation(f"variables.{name}", "is not a member of the workspace", "not_a_member") for name in found
            ],
        )
