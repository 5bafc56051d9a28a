"""Asking the scheduler about what tasks of a template will do and when they recur, before anything is written.

An action is accepted anew, on behalf of whoever uses the template.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rota_chassis.errors import InvalidArgument

from rota_tasks.executions import accepting
from rota_tasks.series import planning
from rota_tasks.templates.checking import Problem
from rota_tasks.templates.making import UnmakeableError, dates_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from rota_chassis.identity import UserPrincipal

    from rota_tasks.executions.execution import Execution
    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.templates.content import Content
    from rota_tasks.templates.domain import Template


async def series_of(
    tasks: Tasks,
    content: Content,
    *,
    values: Mapping[str, str],
    start_on: date,
    time_zone: str,
    now: datetime,
) -> Mapping[int, Mapping[str, Any]]:
    """The dates and the series of the tasks that recur, by their places in a content that is filled.

    Raises:
        UnmakeableError: a rule is refused.
        OverflowError: a date would lie outside the calendar.
        Unavailable: the scheduler cannot be asked now.
    """
    asked: dict[int, Mapping[str, Any]] = {}
    for index, plan in enumerate(content.tasks):
        if plan.recurrence is not None:
            name = plan.time_zone or time_zone
            dates = dates_of(plan, values, start_on, ZoneInfo(name or "UTC"), now)
            asked[index] = {**dates, "time_zone": name, "recurrence": plan.recurrence}
    found = await planning.begun_together(tasks, list(asked.values()))
    return _answered(list(asked), found)


async def executions_of(
    tasks: Tasks, user: UserPrincipal, template: Template, content: Content
) -> Mapping[int, Execution]:
    """What tasks do, by their places in a content that is filled.

    Raises:
        UnmakeableError: an action is refused.
        Unavailable: the scheduler cannot be asked now.
    """
    plans = {index: plan.execution for index, plan in enumerate(content.tasks) if plan.execution is not None}
    actions = [each.action for each in plans.values()]
    found = await accepting.accepted(tasks, user, template.workspace_id, actions)
    given = _answered(list(plans), found)
    return {index: plan.given(given[index]) for index, plan in plans.items()}


def _answered(places: Sequence[int], answers: Sequence[Any]) -> Mapping[int, Any]:
    refused = [
        Problem(f"tasks[{index}].{each.field}", each.description, each.reason)
        for index, answer in zip(places, answers, strict=True)
        if isinstance(answer, InvalidArgument)
        for each in answer.violations
    ]
    if refused or any(isinstance(each, InvalidArgument) for each in answers):
        raise UnmakeableError(refused)
    return dict(zip(places, answers, strict=True))
