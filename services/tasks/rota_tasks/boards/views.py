"""A board as one user sees it, with a page token for each of its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import boards_pb2

from rota_tasks.boards import pages, queries, store
from rota_tasks.boards.domain import State
from rota_tasks.boards.messages import section_message, state_message
from rota_tasks.tasks.domain import Status, Task
from rota_tasks.tasks.messages import STATUS_NUMBERS, task_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.pagination import PageTokens

    from rota_tasks.boards.pages import Key
    from rota_tasks.projects.dependencies import Projects

_Row = tuple[Task, str, int]


class Board:
    """One project's board by states or by sections."""

    def __init__(
        self, projects: Projects, page_tokens: PageTokens, user: UserPrincipal, project_id: UUID, kind: type[Any]
    ) -> None:
        self._projects = projects
        self._page_tokens = page_tokens
        self._user = user
        self._project_id = project_id
        self._kind = kind
        self._bound_to = ["board", user.user_id, project_id, kind.__name__]

    async def columns(self, *, limit: int, page_token: str) -> Sequence[boards_pb2.BoardColumn]:
        """The columns in order, each with its first tasks; with a token one column, with its next.

        Raises:
            NotFound: the project does not exist for the user.
            InvalidArgument: the token is none of this board.
        """
        workspace_id = await queries.workspace_of(self._projects, self._user, self._project_id)
        reader = self._projects.database
        among: dict[str, Any] = {"workspace_id": workspace_id, "project_id": self._project_id}
        defined: dict[UUID, Any] = {each.id: each for each in await store.columns(reader, self._kind, **among)}
        groups = {column_id: each.group for column_id, each in defined.items()} if self._kind is State else {}
        if page_token:
            column_id, status, rank, last = self._page_tokens.decode(page_token, bound_to=self._bound_to)
            key: Key = (UUID(column_id) if column_id else None, Status(status) if status else None)
            keys, after = [key] if key[0] is None or key[0] in defined else [], (rank, UUID(last))
        else:
            without: list[Key] = [(None, status) for status in Status] if self._kind is State else [(None, None)]
            keys, after = [*without, *((column_id, None) for column_id in defined)], None
        by_key: dict[Key, list[_Row]] = {}
        asked: dict[str, Any] = {"user_id": self._user.user_id, "groups": groups, "after": after, "limit": limit + 1}
        for row in await pages.pages(reader, self._kind, keys, **among, **asked):
            by_key.setdefault(self._key(row[0]), []).append(row)
        if self._kind is State and defined and not page_token:
            # A status is a column of a project with states only while tasks are left that have none.
            keys = [key for key in keys if key[0] is not None or key in by_key]
        return [self._message(key, defined, by_key.get(key, []), limit) for key in keys]

    def _key(self, task: Task) -> Key:
        if self._kind is not State:
            return task.section_id, None
        return task.state_id, task.status if task.state_id is None else None

    def _message(self, key: Key, defined: dict[UUID, Any], rows: Sequence[_Row], limit: int) -> boards_pb2.BoardColumn:
        column_id, status = key
        column = defined.get(column_id) if column_id else None
        message = boards_pb2.BoardColumn(
            count=rows[0][2] if rows else 0, tasks=[task_message(task) for task, _, _ in rows[:limit]]
        )
        if isinstance(column, State):
            message.state.CopyFrom(state_message(column))
            message.wip_limit = column.wip_limit
            status = column.group
        elif column is not None:
            message.section.CopyFrom(section_message(column))
        if status is not None:
            message.status = STATUS_NUMBERS[status]
        if len(rows) > limit:
            task, rank, _ = rows[limit - 1]
            cursor = [column_id, key[1], rank, task.id]
            message.next_page_token = self._page_tokens.encode(cursor, bound_to=self._bound_to)
        return message
