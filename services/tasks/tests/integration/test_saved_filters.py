"""Saved filters through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rebuilding import require_rebuilt
from rota.tasks.v1 import projects_pb2, saved_filters_pb2, sync_pb2, tasks_pb2
from rota_chassis.errors import InvalidArgument, NotFound, PermissionDenied, PreconditionFailed, Unprocessable
from rota_chassis.testing.services import User

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.tokens import TokenIssuer


async def save(stage: Stage, name: str = "Mine", *, user: User | None = None, **fields: Any) -> Any:
    request = saved_filters_pb2.CreateSavedFilterRequest(name=name, **fields)
    return (await stage.saved_filters.CreateSavedFilter(request, metadata=(user or stage.ada).metadata)).saved_filter


async def update(
    stage: Stage, saved: Any, *named: str, user: User | None = None, if_match: str = "", **fields: Any
) -> Any:
    request = saved_filters_pb2.UpdateSavedFilterRequest(
        id=saved.id, update_mask=FieldMask(paths=[*fields, *named]), if_match=if_match, **fields
    )
    return (await stage.saved_filters.UpdateSavedFilter(request, metadata=(user or stage.ada).metadata)).saved_filter


async def read(stage: Stage, saved: Any, *, user: User | None = None) -> Any:
    request = saved_filters_pb2.GetSavedFilterRequest(id=saved.id)
    return (await stage.saved_filters.GetSavedFilter(request, metadata=(user or stage.ada).metadata)).saved_filter


async def listed(stage: Stage, user: User, **fields: Any) -> list[str]:
    request = saved_filters_pb2.ListSavedFiltersRequest(**fields)
    answer = await stage.saved_filters.ListSavedFilters(request, metadata=user.metadata)
    return [each.name for each in answer.saved_filters]


async def found(stage: Stage, saved: Any, *, user: User | None = None, **fields: Any) -> list[str]:
    request = tasks_pb2.ListTasksRequest(saved_filter_id=saved.id, **fields)
    answer = await stage.tasks.ListTasks(request, metadata=(user or stage.ada).metadata)
    return [task.title for task in answer.tasks]


def join(stage: Stage, issuer: TokenIssuer, *, role: str) -> User:
    user = User(issuer)
    stage.auth.add_user(user)
    stage.auth.add_member(stage.ada.workspace_id, user.id, role=role)
    return user


async def test_a_filter_is_saved_read_changed_listed_and_deleted(stage: Stage) -> None:
    saved = await save(stage, filter="status = todo", order_by="due_at asc", is_favourite=True)
    assert (saved.version, saved.etag, saved.owner_id) == (1, '"v1"', str(stage.ada.id))
    assert await read(stage, saved) == saved
    changed = await update(stage, saved, "order_by", "is_favourite", name="Ours", is_shared=True)
    assert (changed.name, changed.order_by, changed.is_favourite, changed.is_shared) == ("Ours", "", False, True)
    assert (changed.filter, changed.version) == ("status = todo", 2)
    assert await listed(stage, stage.ada) == ["Ours"]
    request = saved_filters_pb2.DeleteSavedFilterRequest(id=saved.id)
    await stage.saved_filters.DeleteSavedFilter(request, metadata=stage.ada.metadata)
    with pytest.raises(NotFound) as caught:
        await read(stage, saved)
    assert caught.value.code == "SAVED_FILTER_NOT_FOUND"
    assert await listed(stage, stage.ada) == []


async def test_it_gives_its_tasks_in_its_order_and_with_what_else_is_asked(stage: Stage) -> None:
    project = await stage.projects.CreateProject(
        projects_pb2.CreateProjectRequest(name="Home"), metadata=stage.ada.metadata
    )
    of_project = {"project_id": project.project.id}
    for title, fields in {
        "b": {"priority": tasks_pb2.TASK_PRIORITY_HIGH, **of_project},
        "a": {"priority": tasks_pb2.TASK_PRIORITY_HIGH, **of_project},
        "c": {"priority": tasks_pb2.TASK_PRIORITY_LOW, **of_project},
        "d": {"priority": tasks_pb2.TASK_PRIORITY_HIGH},
    }.items():
        await stage.create(title, **fields)
    high = await save(stage, filter="priority = high OR title = zzz", order_by="title asc")
    assert await found(stage, high) == ["a", "b", "d"]
    assert await found(stage, high, order_by="title desc") == ["d", "b", "a"]
    assert await found(stage, high, filter="title = b OR title = c") == ["b"]
    assert await found(stage, high, project_id=project.project.id) == ["a", "b"]
    assert await found(stage, await save(stage, **of_project)) == ["c", "a", "b"]
    assert await found(stage, high, workspace_id=str(stage.ada.workspace_id)) == ["a", "b", "d"]
    # Pages go on, and begin anew when the filter has changed.
    request = tasks_pb2.ListTasksRequest(saved_filter_id=high.id, page_size=2)
    first = await stage.tasks.ListTasks(request, metadata=stage.ada.metadata)
    assert await found(stage, high, page_size=2, page_token=first.next_page_token) == ["d"]
    await update(stage, high, filter="priority = low")
    with pytest.raises(InvalidArgument) as caught:
        await found(stage, high, page_size=2, page_token=first.next_page_token)
    assert caught.value.code == "INVALID_PAGE_TOKEN"
    assert await found(stage, high) == ["c"]


async def test_me_in_a_shared_one_is_whoever_uses_it(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    workspace = {"workspace_id": str(stage.ada.workspace_id)}
    await stage.create("Ada's", assignee_ids=[str(stage.ada.id)])
    await stage.create("Grace's", assignee_ids=[str(stage.grace.id)], user=stage.grace, **workspace)
    await stage.create("Elsewhere", assignee_ids=[str(stage.grace.id)], user=stage.grace)
    mine = await save(stage, filter="assignee = me", is_shared=True)
    assert await found(stage, mine) == ["Ada's"]
    assert await found(stage, mine, user=stage.grace) == ["Grace's"]


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"filter": "status = "}, "INVALID_FILTER", "position 9"),
        ({"filter": "colour = red"}, "INVALID_FILTER", "position 0"),
        ({"order_by": "colour"}, "INVALID_ORDER", "Order by"),
    ],
    ids=["no value", "no such field", "no such order"],
)
async def test_what_means_nothing_is_refused_when_it_is_saved(
    stage: Stage, fields: dict[str, str], code: str, said: str
) -> None:
    saved = await save(stage)
    for attempt in (save(stage, **fields), update(stage, saved, **fields)):
        with pytest.raises(InvalidArgument, match=said) as caught:
            await attempt
        assert caught.value.code == code
        assert caught.value.violations[0].field == next(iter(fields))
    assert await read(stage, saved) == saved


async def test_its_project_has_to_be_one_of_the_workspace(stage: Stage) -> None:
    saved = await save(stage)
    others = await stage.projects.CreateProject(
        projects_pb2.CreateProjectRequest(name="Grace's"), metadata=stage.grace.metadata
    )
    for project_id in (str(uuid4()), others.project.id):
        for attempt in (save(stage, project_id=project_id), update(stage, saved, project_id=project_id)):
            with pytest.raises(NotFound) as caught:
                await attempt
            assert caught.value.code == "PROJECT_NOT_FOUND"


async def test_a_private_one_does_not_exist_for_others_and_a_shared_one_is_changed_by_few(
    stage: Stage, issuer: TokenIssuer
) -> None:
    member, admin, viewer = (join(stage, issuer, role=role) for role in ("member", "admin", "viewer"))
    workspace = {"workspace_id": str(stage.ada.workspace_id)}
    private, shared = await save(stage, "Private"), await save(stage, "Shared", is_shared=True)
    for user in (member, admin, viewer):
        assert await listed(stage, user, **workspace) == ["Shared"]
        for attempt in (
            read(stage, private, user=user),
            update(stage, private, name="x", user=user),
            found(stage, private, user=user),
        ):
            with pytest.raises(NotFound) as caught:
                await attempt
            assert caught.value.code == "SAVED_FILTER_NOT_FOUND"
    with pytest.raises(NotFound):
        await read(stage, shared, user=stage.grace)
    with pytest.raises(PermissionDenied) as denied:
        await update(stage, shared, name="x", user=member)
    assert denied.value.code == "SAVED_FILTER_OWNER_REQUIRED"
    for attempt in (update(stage, shared, name="x", user=viewer), save(stage, user=viewer, **workspace)):
        with pytest.raises(PermissionDenied) as denied:
            await attempt
        assert denied.value.code == "WORKSPACE_ROLE_REQUIRED"
    assert (await update(stage, shared, name="Admin's", user=admin)).name == "Admin's"
    request = saved_filters_pb2.DeleteSavedFilterRequest(id=shared.id)
    with pytest.raises(PermissionDenied):
        await stage.saved_filters.DeleteSavedFilter(request, metadata=member.metadata)


async def test_of_two_who_change_the_same_version_one_does(stage: Stage) -> None:
    saved = await save(stage)
    outcomes = await asyncio.gather(
        *(update(stage, saved, name=f"name {number}", if_match=saved.etag) for number in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, saved_filters_pb2.SavedFilter) for each in outcomes) == 1
    assert sum(isinstance(each, PreconditionFailed) for each in outcomes) == 4


async def test_a_call_that_is_repeated_saves_one(stage: Stage) -> None:
    outcomes = await asyncio.gather(*(save(stage, request_id="one") for _ in range(5)))
    assert len({each.id for each in outcomes}) == 1
    assert await listed(stage, stage.ada) == ["Mine"]
    with pytest.raises(Unprocessable) as caught:
        await save(stage, "Another", request_id="one")
    assert caught.value.code == "REQUEST_ID_REUSED"


async def test_a_list_has_pages(stage: Stage) -> None:
    for number in range(3):
        await save(stage, f"filter {number}")
    request = saved_filters_pb2.ListSavedFiltersRequest(page_size=2)
    first = await stage.saved_filters.ListSavedFilters(request, metadata=stage.ada.metadata)
    assert [each.name for each in first.saved_filters] == ["filter 2", "filter 1"]
    assert await listed(stage, stage.ada, page_size=2, page_token=first.next_page_token) == ["filter 0"]


async def test_a_copy_has_those_that_its_user_may_see_and_hears_nothing_of_others(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    token = ""

    async def heard() -> list[tuple[str, bool, int]]:
        nonlocal token
        request = sync_pb2.SyncRequest(since=token, workspace_id=str(stage.ada.workspace_id))
        answer = await stage.sync.Sync(request, metadata=stage.grace.metadata)
        token = answer.next_token
        return [(each.id, each.deleted, each.version) for each in answer.changes if each.kind == "saved_filter"]

    private, shared = await save(stage, "Private"), await save(stage, "Shared", is_shared=True)
    assert await heard() == [(shared.id, False, 1)]
    await update(stage, private, name="Still private")
    assert await heard() == []
    await update(stage, shared, is_shared=False)
    assert await heard() == [(shared.id, True, 2)]
    for each in (private, shared):
        request = saved_filters_pb2.DeleteSavedFilterRequest(id=each.id)
        await stage.saved_filters.DeleteSavedFilter(request, metadata=stage.ada.metadata)
    assert await heard() == []


async def test_a_rebuild_gives_the_same(stage: Stage) -> None:
    saved = await save(stage, filter="status = todo")
    await update(stage, saved, name="Changed", is_shared=True)
    gone = await save(stage)
    request = saved_filters_pb2.DeleteSavedFilterRequest(id=gone.id)
    await stage.saved_filters.DeleteSavedFilter(request, metadata=stage.ada.metadata)
    await require_rebuilt(stage.database_url)
    assert await listed(stage, stage.ada) == ["Changed"]
