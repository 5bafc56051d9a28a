"""Who sees what came of projects: the one place that says so, for every statement.

A run, a run of a workflow or an entry of a rule's log that came of an event or a task of a project shows what is in it.
So each keeps the projects that it came of, hands them on to whatever it starts, and is there only for who may see all
of them. Schedules, rules and workflows themselves, and what came of none, belong to the workspace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.postgres.statements import statement
from rota_chassis.private_projects import hidden_from
from sqlalchemy import bindparam, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.postgres.work import Reader
    from sqlalchemy import ColumnElement, Table

_HIDDEN = hidden_from(bindparam("user_id", type_=PgUUID))

_HIDDEN_NOW = statement(select(_HIDDEN))


def is_visible(project_ids: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the user in the parameter `user_id` sees what came of these projects, a list in JSON or null."""
    return project_ids.op("?|", is_comparison=True)(_HIDDEN).is_not(True)


def is_run_visible(runs: Table) -> ColumnElement[bool]:
    """The same of a run, in either of their tables."""
    return is_visible(runs.c.action.op("->", return_type=JSONB())(literal_column("'of_projects'")))


async def hidden_projects(reader: Reader, *, user_id: UUID) -> Sequence[str]:
    """The projects that the user does not see, for a statement that takes them as a list."""
    found: Sequence[str] = await reader.fetch_value(_HIDDEN_NOW, user_id=user_id)
    return found
