"""What moves tasks in time, in one transaction.

Two at once: the structure of the workspace is shared, so that no relation comes or goes meanwhile, and the rows are
locked in the order of their ids, so that they take turns. Repeating it moves nothing further: what waits is then no
longer too early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota_chassis.errors import Conflict

from rota_tasks.planning import domain, store
from rota_tasks.planning.queries import require_size
from rota_tasks.tasks import commands, queries, tree
from rota_tasks.tasks.domain import edit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import Reader

    from rota_tasks.tasks.dependencies import Tasks
    from rota_tasks.tasks.domain import Task


async def reschedule_task(
    tasks: Tasks, user: UserPrincipal, *, task_id: UUID, due: Mapping[str, Any], if_match: str, dry_run: bool
) -> Sequence[tuple[Task, Mapping[str, Any]]]:
    """Give a task another due date, and move what waits for it and the user may change (see `domain.moves`).

    Args:
        tasks: What it needs.
        user: Who does it.
        task_id: Which task.
        due: Its new `due_at` or `due_on`.
        if_match: The entity tag it must have.
        dry_run: Only to say what would move.

    Raises:
        NotFound: the task does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: the task's entity tag is another.
        Conflict: too many tasks wait for it, or one would be moved beyond the last date there is.
    """
    task = await queries.get_task(tasks, user, task_id=task_id)
    async with tasks.database.transaction() as work:
        await tree.lock(work, task.workspace_id, exclusive=False)
        found = await (store.with_waiting if dry_run else store.lock_with_waiting)(work, task, user_id=user.user_id)
        if await commands.lock(work, user, task_id, if_match) is None:
            raise queries.no_such_task()
        moved = await _moves(work, task_id, due, found)
        if not dry_run:
            now = tasks.clock.now()
            for each, changes in moved:
                await commands.apply(work, edit(each, changes, by=user.user_id, now=now))
    return moved


async def _moves(
    reader: Reader, task_id: UUID, due: Mapping[str, Any], found: Sequence[Task]
) -> Sequence[tuple[Task, Mapping[str, Any]]]:
    require_size(found)
    task = next(each for each in found if each.id == task_id)
    others = [each for each in found if each.id != task_id]
    edges = await store.edges(reader, workspace_id=task.workspace_id, task_ids=[each.id for each in found])
    try:
        return domain.moves(task, due, others, edges)
    except OverflowError as error:
        raise Conflict("A task would move beyond the last date there is.", code="DATE_OUT_OF_RANGE") from error
