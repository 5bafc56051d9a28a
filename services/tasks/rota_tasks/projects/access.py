"""Who sees a project, and what they may do in it: the one place that says so, for every statement.

The owner and the admins of a workspace keep their role in all of its projects. Who is named in a project has the role
that they have there. Everybody else has the one that they have in the workspace, unless the project is private: then
there is no such project for them, nor anything in it.

`is_visible` asks for the projects that are hidden from the user once in a statement, whatever it reads; in most
workspaces there are none. `role_in` asks for each row, and is for the few that are to be changed. A project that was
private when it was deleted stays among the private ones: its trash and its templates are left.
"""

from __future__ import annotations

from typing import Any

from rota_chassis.memberships import ADMIN, MEMBERSHIPS, OWNER, VIEWER
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    false,
    func,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

METADATA = MetaData()
PRIVATE_PROJECTS = Table(
    "private_projects",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("project_id", PgUUID, primary_key=True),
)
PROJECT_MEMBERS = Table(
    "project_members",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("project_id", PgUUID, primary_key=True),
    Column("user_id", PgUUID, primary_key=True),
    Column("role", Text, nullable=False),
    Column("added_by", PgUUID, nullable=False),
    Column("added_at", DateTime(timezone=True), nullable=False),
)
# Of the tasks, where they are.
_TASKS = Table(
    "tasks",
    METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("id", PgUUID, primary_key=True),
    Column("project_id", PgUUID),
)
_READER = MEMBERSHIPS.alias("reader")
_NAMED = PROJECT_MEMBERS.alias("named")


def keeps_role(member: FromClause) -> ColumnElement[bool]:
    """Whether a member of a workspace has the same role in all of its projects."""
    return or_(member.c.role == OWNER, member.c.role == ADMIN)


_HIDDEN = (
    select(PRIVATE_PROJECTS.c.project_id)
    .join_from(_READER, PRIVATE_PROJECTS, PRIVATE_PROJECTS.c.workspace_id == _READER.c.workspace_id)
    .where(
        _READER.c.user_id == bindparam("user_id", type_=PgUUID),
        ~_READER.c.removed,
        ~keeps_role(_READER),
        ~exists()
        .where(
            _NAMED.c.workspace_id == PRIVATE_PROJECTS.c.workspace_id,
            _NAMED.c.project_id == PRIVATE_PROJECTS.c.project_id,
            _NAMED.c.user_id == _READER.c.user_id,
        )
        .correlate(_READER, PRIVATE_PROJECTS),
    )
    .correlate(None)
)
_ASKED_ONCE = select(func.array(_HIDDEN.scalar_subquery(), type_=ARRAY(PgUUID)).label("ids")).cte("hidden")
HIDDEN: Any = select(_ASKED_ONCE.c.ids).scalar_subquery()
"""The projects hidden from the user in the parameter `user_id`, as an array, in all of their workspaces."""


def hidden_in(workspace_id: ColumnElement[Any]) -> Any:
    """The projects of one workspace that are hidden from the user in the parameter `user_id`, by their ids."""
    return _HIDDEN.where(PRIVATE_PROJECTS.c.workspace_id == workspace_id).order_by(PRIVATE_PROJECTS.c.project_id)


def is_visible(project_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the user in the parameter `user_id`, who belongs to the workspace, sees what is in a project, or in none.

    As a test for null, which the planner takes to be so for nearly all rows: of an array that it does not know it would
    think that it leaves out most of a large project, and choose another way than it has without.
    """
    return case((project_id == func.any(cast(HIDDEN, ARRAY(PgUUID))), null()), else_=true()).is_not(None)


def is_of_visible(workspace_id: ColumnElement[Any], *task_ids: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether what belongs to tasks may be seen, as `is_visible`: none of them is hidden; asked only if any may be."""
    of_hidden = (
        exists()
        .where(
            _TASKS.c.workspace_id == workspace_id,
            or_(*(_TASKS.c.id == each for each in task_ids)),
            _TASKS.c.project_id == func.any(cast(HIDDEN, ARRAY(PgUUID))),
        )
        .correlate_except(_TASKS)
    )
    return or_(func.cardinality(HIDDEN) == 0, ~of_hidden)


def role_in(project_id: ColumnElement[Any], member: FromClause = MEMBERSHIPS) -> ColumnElement[Any]:
    """The role of a member of the workspace in a project of it, or in none; null when it is hidden from them.

    Args:
        project_id: The project; null for what is in none.
        member: The membership, in a select from it.
    """
    of_project = and_(
        PROJECT_MEMBERS.c.workspace_id == member.c.workspace_id, PROJECT_MEMBERS.c.project_id == project_id
    )
    named = (
        select(PROJECT_MEMBERS.c.role)
        .where(of_project, PROJECT_MEMBERS.c.user_id == member.c.user_id)
        .correlate_except(PROJECT_MEMBERS)
        .scalar_subquery()
    )
    private = (
        exists()
        .where(PRIVATE_PROJECTS.c.workspace_id == member.c.workspace_id, PRIVATE_PROJECTS.c.project_id == project_id)
        .correlate_except(PRIVATE_PROJECTS)
    )
    return case((keeps_role(member), member.c.role), else_=func.coalesce(named, case((~private, member.c.role)))).label(
        "role"
    )


def may_write(project_id: ColumnElement[Any], member: FromClause = MEMBERSHIPS) -> ColumnElement[bool]:
    """Whether that role allows writing."""
    return func.coalesce(role_in(project_id, member).element != VIEWER, false())
