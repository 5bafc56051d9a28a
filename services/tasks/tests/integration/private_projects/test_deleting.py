"""Who deletes a task takes along what they may change, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from rebuilding import require_rebuilt
from rota.tasks.v1 import batch_pb2, tasks_pb2, trash_pb2
from rota_chassis.errors import Conflict, NotFound, RotaError

if TYPE_CHECKING:
    from integration.private_projects.conftest import World
    from rota_chassis.testing.services import User


async def made(world: World, title: str, parent_id: str | None = None, *, hidden: bool = False) -> str:
    """A task of the keeper, in the private project or in none; its id."""
    request = tasks_pb2.CreateTaskRequest(
        title=title,
        workspace_id=str(world.owner.workspace_id),
        parent_id=parent_id,
        project_id=world.project if hidden else None,
    )
    return (await world.do("TaskService.CreateTask", request)).task.id


async def tree(world: World) -> dict[str, str]:
    """A task with parts, of which one is hidden, and has a part that everybody sees; the ids by the titles."""
    ids = {"whole": await made(world, "whole")}
    ids["part"] = await made(world, "part", ids["whole"])
    ids["secret"] = await made(world, "secret", ids["part"], hidden=True)
    ids["below"] = await made(world, "below", ids["secret"])
    ids["deep"] = await made(world, "deep", ids["part"])
    return ids


async def delete(world: World, user: User, task_id: str) -> None:
    await world.call("TaskService.DeleteTask", tasks_pb2.DeleteTaskRequest(id=task_id), user)


async def found(world: World, task_id: str) -> tasks_pb2.Task | None:
    """The task, as its keeper sees it."""
    try:
        return (await world.do("TaskService.GetTask", tasks_pb2.GetTaskRequest(id=task_id))).task
    except NotFound:
        return None


async def living(world: World, ids: dict[str, str]) -> dict[str, str]:
    """What is left of the tree: by title, the id of what it is a part of."""
    tasks = [await found(world, each) for each in ids.values()]
    return {each.title: each.parent_id for each in tasks if each is not None}


@pytest.mark.parametrize("who", ["outsider", "viewer"])
@pytest.mark.parametrize("how", ["alone", "batch"])
async def test_what_its_user_may_not_change_stays_with_what_is_below_it(world: World, who: str, how: str) -> None:
    ids, user = await tree(world), getattr(world, who)
    before = await found(world, ids["secret"])
    if how == "alone":
        await delete(world, user, ids["whole"])
    else:
        request = batch_pb2.BatchTasksRequest(workspace_id=str(world.owner.workspace_id))
        request.operations.add().delete.id = ids["whole"]
        await world.call("BatchService.BatchTasks", request, user)
    assert await living(world, ids) == {"secret": "", "below": ids["secret"]}
    secret = await found(world, ids["secret"])
    assert secret is not None
    assert before is not None
    assert secret.version == before.version + 1
    # It is not taken back, either.
    restore = trash_pb2.RestoreTaskRequest(id=ids["whole"])
    await world.call("TrashService.RestoreTask", restore, user)
    assert await living(world, ids) == {
        "whole": "",
        "part": ids["whole"],
        "secret": "",
        "below": ids["secret"],
        "deep": ids["part"],
    }
    # Nor purged with the rest.
    await delete(world, user, ids["whole"])
    purge = trash_pb2.DeleteTrashedTaskRequest(id=ids["whole"])
    await world.call("TrashService.DeleteTrashedTask", purge, user)
    assert await living(world, ids) == {"secret": "", "below": ids["secret"]}
    await require_rebuilt(world.stage.database_url)


@pytest.mark.parametrize("who", ["keeper", "owner"])
async def test_who_may_change_all_of_it_takes_all_along_and_gets_all_back(world: World, who: str) -> None:
    ids, user = await tree(world), getattr(world, who)
    await delete(world, user, ids["whole"])
    assert await living(world, ids) == {}
    await world.call("TrashService.RestoreTask", trash_pb2.RestoreTaskRequest(id=ids["whole"]), user)
    assert set(await living(world, ids)) == set(ids)


async def test_a_deletion_that_took_along_what_others_may_not_change_is_purged_by_who_may_alone(world: World) -> None:
    ids = await tree(world)
    await delete(world, world.keeper, ids["whole"])
    purge = trash_pb2.DeleteTrashedTaskRequest(id=ids["whole"])
    for user in (world.outsider, world.viewer):
        with pytest.raises(Conflict) as refused:
            await world.call("TrashService.DeleteTrashedTask", purge, user)
        assert refused.value.code == "PARTS_NOT_WRITABLE"
        assert refused.value.detail.startswith("1 ")
    await world.call("TrashService.DeleteTrashedTask", purge, world.keeper)
    with pytest.raises(NotFound):
        await world.call("TrashService.RestoreTask", trash_pb2.RestoreTaskRequest(id=ids["whole"]), world.keeper)


async def test_a_hidden_part_that_is_added_while_its_whole_is_deleted_stays_or_is_never_made(world: World) -> None:
    for _ in range(5):
        whole = await made(world, "whole")

        async def add(whole: str = whole) -> str | None:
            try:
                return await made(world, "secret", whole, hidden=True)
            except NotFound:
                return None

        added, _ = await asyncio.gather(add(), delete(world, world.outsider, whole))
        if added is not None:
            secret = await found(world, added)
            assert secret is not None
            assert not secret.HasField("parent_id")


async def test_two_who_delete_one_task_at_once_keep_what_one_of_them_may_not_change_or_delete_it(world: World) -> None:
    ids = await tree(world)

    async def attempt(user: User) -> Any:
        try:
            return await delete(world, user, ids["whole"])
        except RotaError as error:
            return type(error)

    outcomes = await asyncio.gather(attempt(world.outsider), attempt(world.keeper))
    assert set(outcomes) == {None, NotFound}
    kept = {"secret": "", "below": ids["secret"]}
    assert await living(world, ids) == (kept if outcomes[0] is None else {})
