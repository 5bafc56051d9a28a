"""Workspaces and members through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import jwt
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.auth.v1 import users_pb2, workspaces_pb2
from rota_chassis.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, PermissionDenied, RotaError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from conftest import Auth
    from rota.auth.v1.auth_pb2 import RegisterResponse

OWNER, ADMIN, MEMBER, VIEWER = (
    workspaces_pb2.WORKSPACE_ROLE_OWNER,
    workspaces_pb2.WORKSPACE_ROLE_ADMIN,
    workspaces_pb2.WORKSPACE_ROLE_MEMBER,
    workspaces_pb2.WORKSPACE_ROLE_VIEWER,
)


async def add(
    auth: Auth,
    caller: RegisterResponse,
    workspace_id: str,
    email: str,
    role: workspaces_pb2.WorkspaceRole.ValueType = workspaces_pb2.WORKSPACE_ROLE_UNSPECIFIED,
) -> workspaces_pb2.Member:
    request = workspaces_pb2.AddMemberRequest(workspace_id=workspace_id, email=email, role=role)
    return (await auth.workspaces.AddMember(request, metadata=auth.calling(caller))).member


async def remove(auth: Auth, caller: RegisterResponse, workspace_id: str, user_id: str) -> None:
    request = workspaces_pb2.RemoveMemberRequest(workspace_id=workspace_id, user_id=user_id)
    await auth.workspaces.RemoveMember(request, metadata=auth.calling(caller))


async def change(
    auth: Auth, caller: RegisterResponse, workspace_id: str, user_id: str, **fields: Any
) -> workspaces_pb2.Member:
    request = workspaces_pb2.UpdateMemberRequest(
        workspace_id=workspace_id, user_id=user_id, update_mask=FieldMask(paths=list(fields)), **fields
    )
    return (await auth.workspaces.UpdateMember(request, metadata=auth.calling(caller))).member


async def members(auth: Auth, caller: RegisterResponse, workspace_id: str) -> list[tuple[str, int]]:
    request = workspaces_pb2.ListMembersRequest(workspace_id=workspace_id)
    answer = await auth.workspaces.ListMembers(request, metadata=auth.calling(caller))
    return [(member.user_id, member.role) for member in answer.members]


async def code_of(call: Awaitable[object], kind: type[RotaError]) -> str:
    with pytest.raises(kind) as caught:
        await call
    return caught.value.code


async def test_an_owner_adds_a_registered_user_who_is_a_member_by_default(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register(name="Grace")
    member = await add(auth, ada, ada.workspace.id, grace.user.email.upper())
    assert (member.workspace_id, member.user_id, member.role) == (ada.workspace.id, grace.user.id, MEMBER)
    assert (member.name, member.email) == ("Grace", grace.user.email)
    assert await members(auth, grace, ada.workspace.id) == [(ada.user.id, OWNER), (grace.user.id, MEMBER)]
    event = (await auth.events(ada.workspace.id))[-1]
    assert (event["type"], event["aggregate_version"]) == ("workspace.member_added", 3)
    assert event["data"]["membership"]["version"] == 3


async def test_only_owners_and_admins_add_and_remove_others(auth: Auth) -> None:
    ada, admin, viewer, stranger = [await auth.register() for _ in range(4)]
    workspace_id = ada.workspace.id
    await add(auth, ada, workspace_id, admin.user.email, ADMIN)
    await add(auth, admin, workspace_id, viewer.user.email, VIEWER)
    assert await code_of(add(auth, viewer, workspace_id, stranger.user.email), PermissionDenied) == (
        "WORKSPACE_ROLE_REQUIRED"
    )
    assert await code_of(remove(auth, viewer, workspace_id, admin.user.id), PermissionDenied) == (
        "WORKSPACE_ROLE_REQUIRED"
    )
    await remove(auth, admin, workspace_id, viewer.user.id)
    assert await members(auth, ada, workspace_id) == [(ada.user.id, OWNER), (admin.user.id, ADMIN)]


async def test_another_users_workspace_does_not_exist(auth: Auth) -> None:
    ada, stranger = await auth.register(), await auth.register()
    for workspace_id in (ada.workspace.id, str(uuid4())):
        for call in (
            add(auth, stranger, workspace_id, stranger.user.email),
            remove(auth, stranger, workspace_id, ada.user.id),
            change(auth, stranger, workspace_id, ada.user.id, role=VIEWER),
            members(auth, stranger, workspace_id),
        ):
            assert await code_of(call, NotFound) == "WORKSPACE_NOT_FOUND"


async def test_whom_to_add_must_be_registered_and_not_a_member_yet(auth: Auth) -> None:
    ada = await auth.register()
    assert await code_of(add(auth, ada, ada.workspace.id, auth.an_email()), NotFound) == "USER_NOT_FOUND"
    assert await code_of(add(auth, ada, ada.workspace.id, ada.user.email), AlreadyExists) == "ALREADY_A_MEMBER"
    assert await code_of(add(auth, ada, ada.workspace.id, ada.user.email, OWNER), InvalidArgument) == "INVALID_FIELDS"


async def test_a_member_may_leave_and_come_back_but_the_owner_stays(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    workspace_id = ada.workspace.id
    await add(auth, ada, workspace_id, grace.user.email)
    await remove(auth, grace, workspace_id, grace.user.id)
    assert await code_of(members(auth, grace, workspace_id), NotFound) == "WORKSPACE_NOT_FOUND"
    assert await code_of(remove(auth, ada, workspace_id, grace.user.id), NotFound) == "MEMBER_NOT_FOUND"
    assert await code_of(remove(auth, ada, workspace_id, ada.user.id), RotaError) == "OWNER_STAYS"
    await add(auth, ada, workspace_id, grace.user.email, VIEWER)
    assert await members(auth, grace, workspace_id) == [(ada.user.id, OWNER), (grace.user.id, VIEWER)]
    changes = [(row["type"], row["data"]["membership"]["version"]) for row in (await auth.events(workspace_id))[-3:]]
    assert changes == [("workspace.member_added", 3), ("workspace.member_removed", 4), ("workspace.member_added", 5)]


async def test_a_role_is_changed_and_the_copies_hear_of_it(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register(name="Grace")
    workspace_id = ada.workspace.id
    await add(auth, ada, workspace_id, grace.user.email)
    member = await change(auth, ada, workspace_id, grace.user.id, role=ADMIN)
    assert (member.user_id, member.role, member.name, member.email) == (grace.user.id, ADMIN, "Grace", grace.user.email)
    assert await change(auth, ada, workspace_id, grace.user.id, role=ADMIN) == member
    assert await change(auth, ada, workspace_id, grace.user.id) == member
    assert await members(auth, grace, workspace_id) == [(ada.user.id, OWNER), (grace.user.id, ADMIN)]
    events = await auth.events(workspace_id)
    assert [row["type"] for row in events].count("workspace.member_changed") == 1
    assert (events[-1]["type"], events[-1]["aggregate_version"]) == ("workspace.member_changed", 4)
    assert events[-1]["data"]["membership"] == {
        "workspace_id": workspace_id,
        "user_id": grace.user.id,
        "role": "admin",
        "version": 4,
    }
    request = workspaces_pb2.ListMembershipsRequest(user_id=grace.user.id)
    known = (await auth.workspaces.ListMemberships(request)).memberships
    assert (ADMIN, 4) in {(each.role, each.version) for each in known}


async def test_only_owners_and_admins_change_roles_and_the_owner_stays_it(auth: Auth) -> None:
    ada, admin, viewer, stranger = [await auth.register() for _ in range(4)]
    workspace_id = ada.workspace.id
    await add(auth, ada, workspace_id, admin.user.email, ADMIN)
    await add(auth, ada, workspace_id, viewer.user.email, VIEWER)
    refused = change(auth, viewer, workspace_id, viewer.user.id, role=MEMBER)
    assert await code_of(refused, PermissionDenied) == "WORKSPACE_ROLE_REQUIRED"
    for caller in (ada, admin):
        assert await code_of(change(auth, caller, workspace_id, ada.user.id, role=ADMIN), Conflict) == "OWNER_STAYS"
    gone = change(auth, ada, workspace_id, stranger.user.id, role=MEMBER)
    assert await code_of(gone, NotFound) == "MEMBER_NOT_FOUND"
    assert await code_of(change(auth, admin, workspace_id, viewer.user.id, role=OWNER), PermissionDenied) == (
        "WORKSPACE_ROLE_REQUIRED"
    )
    for role in (workspaces_pb2.WORKSPACE_ROLE_UNSPECIFIED, 9):
        call = change(auth, ada, workspace_id, viewer.user.id, role=role)
        assert await code_of(call, InvalidArgument) == "INVALID_FIELDS"
    # An admin steps down, and can change nobody any more.
    await change(auth, admin, workspace_id, admin.user.id, role=MEMBER)
    refused = change(auth, admin, workspace_id, viewer.user.id, role=ADMIN)
    assert await code_of(refused, PermissionDenied) == "WORKSPACE_ROLE_REQUIRED"


async def test_an_owner_hands_the_workspace_over_and_is_an_admin_then(auth: Auth) -> None:
    ada, grace, stranger = [await auth.register() for _ in range(3)]
    workspace_id = ada.workspace.id
    await add(auth, ada, workspace_id, grace.user.email, VIEWER)
    gone = change(auth, ada, workspace_id, stranger.user.id, role=OWNER)
    assert await code_of(gone, NotFound) == "MEMBER_NOT_FOUND"
    assert await code_of(change(auth, stranger, workspace_id, stranger.user.id, role=OWNER), NotFound) == (
        "WORKSPACE_NOT_FOUND"
    )
    assert await code_of(change(auth, grace, workspace_id, grace.user.id, role=OWNER), PermissionDenied) == (
        "WORKSPACE_ROLE_REQUIRED"
    )
    # To themselves, nothing changes.
    assert (await change(auth, ada, workspace_id, ada.user.id, role=OWNER)).role == OWNER
    member = await change(auth, ada, workspace_id, grace.user.id, role=OWNER)
    assert (member.user_id, member.role) == (grace.user.id, OWNER)
    assert await members(auth, grace, workspace_id) == [(ada.user.id, ADMIN), (grace.user.id, OWNER)]
    # A call that is repeated finds it done.
    assert await change(auth, ada, workspace_id, grace.user.id, role=OWNER) == member
    handed = (await auth.events(workspace_id))[-2:]
    told = [(row["data"]["membership"]["role"], row["aggregate_version"]) for row in handed]
    assert told == [("admin", 4), ("owner", 5)]
    listing = await auth.workspaces.ListWorkspaces(workspaces_pb2.ListWorkspacesRequest(), metadata=auth.calling(ada))
    shown = {each.id: (each.owner_id, each.role) for each in listing.workspaces}
    assert shown[workspace_id] == (grace.user.id, ADMIN)
    assert await code_of(change(auth, grace, workspace_id, grace.user.id, role=ADMIN), Conflict) == "OWNER_STAYS"
    assert await code_of(remove(auth, grace, workspace_id, grace.user.id), Conflict) == "OWNER_STAYS"
    await remove(auth, grace, workspace_id, ada.user.id)
    assert await members(auth, grace, workspace_id) == [(grace.user.id, OWNER)]


async def own(auth: Auth, grant: Any) -> list[str]:
    """The workspaces that a user owns, oldest first."""
    listing = await auth.workspaces.ListWorkspaces(workspaces_pb2.ListWorkspacesRequest(), metadata=auth.calling(grant))
    return [each.id for each in listing.workspaces if each.role == OWNER]


async def test_whoever_handed_their_workspace_over_and_was_taken_out_gets_another(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    old = ada.workspace.id
    await add(auth, ada, old, grace.user.email)
    await change(auth, ada, old, grace.user.id, role=OWNER)
    # As long as they belong to it, it stays theirs.
    kept = (await auth.login(ada.user.email)).workspace
    assert (kept.id, kept.owner_id, kept.role) == (old, grace.user.id, ADMIN)
    await remove(auth, grace, old, ada.user.id)
    # Until the next login or refresh they belong to nothing.
    assert await own(auth, ada) == []
    first, second, refreshed = await asyncio.gather(
        auth.login(ada.user.email), auth.login(ada.user.email), auth.refresh(ada.refresh_token)
    )
    new = first.workspace.id
    assert new != old
    assert (first.workspace.owner_id, first.workspace.role) == (ada.user.id, OWNER)
    assert {each.workspace.id for each in (first, second, refreshed)} == {new}
    for each in (first, second, refreshed):
        assert (each.user.workspace_id, each.user.version) == (new, 2)
        assert await own(auth, each) == [new]
        me = await auth.users.GetMe(users_pb2.GetMeRequest(), metadata=auth.calling(each))
        assert me.user.workspace_id == new
        assert jwt.decode(each.access_token, options={"verify_signature": False})["wid"] == new
    told = [(row["type"], row["aggregate_version"]) for row in await auth.events(new)]
    assert told == [("user.updated", 2), ("workspace.created", 1), ("workspace.member_added", 2)]
    assert await members(auth, first, new) == [(ada.user.id, OWNER)]


async def test_whoever_leaves_the_workspace_that_they_handed_over_goes_to_one_that_they_own(auth: Auth) -> None:
    ada, grace, heir = [await auth.register() for _ in range(3)]
    await add(auth, grace, grace.workspace.id, ada.user.email)
    await change(auth, grace, grace.workspace.id, ada.user.id, role=OWNER)
    await add(auth, ada, ada.workspace.id, heir.user.email)
    await change(auth, ada, ada.workspace.id, heir.user.id, role=OWNER)
    await remove(auth, ada, ada.workspace.id, ada.user.id)
    again = await auth.refresh(ada.refresh_token)
    assert again.workspace.id == again.user.workspace_id == grace.workspace.id
    assert await own(auth, again) == [grace.workspace.id]
    # Whoever has left an owned workspace again is not without one either.
    await change(auth, again, grace.workspace.id, grace.user.id, role=OWNER)
    await remove(auth, again, grace.workspace.id, ada.user.id)
    last = await auth.refresh(again.refresh_token)
    assert await own(auth, last) == [last.workspace.id]
    assert last.workspace.id not in {ada.workspace.id, grace.workspace.id}


async def test_of_two_handovers_at_once_one_comes_too_late(auth: Auth) -> None:
    ada, one, other = [await auth.register() for _ in range(3)]
    for heir in (one, other):
        await add(auth, ada, ada.workspace.id, heir.user.email)
    calls = [change(auth, ada, ada.workspace.id, heir.user.id, role=OWNER) for heir in (one, other)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Member", "PermissionDenied"]
    roles = dict(await members(auth, ada, ada.workspace.id))
    assert sorted(roles.values()) == [OWNER, ADMIN, MEMBER]
    assert roles[ada.user.id] == ADMIN


async def test_a_handover_and_the_removal_of_the_heir_at_once_leave_one_owner(auth: Auth) -> None:
    for _ in range(3):
        ada, heir, admin = [await auth.register() for _ in range(3)]
        await add(auth, ada, ada.workspace.id, heir.user.email)
        await add(auth, ada, ada.workspace.id, admin.user.email, ADMIN)
        handed, removed = await asyncio.gather(
            change(auth, ada, ada.workspace.id, heir.user.id, role=OWNER),
            remove(auth, admin, ada.workspace.id, heir.user.id),
            return_exceptions=True,
        )
        roles = dict(await members(auth, admin, ada.workspace.id))
        assert list(roles.values()).count(OWNER) == 1
        if isinstance(handed, workspaces_pb2.Member):
            assert isinstance(removed, Conflict)
            assert roles[heir.user.id] == OWNER
        else:
            assert isinstance(handed, NotFound)
            assert roles[ada.user.id] == OWNER


async def test_of_two_who_demote_each_other_at_once_one_comes_too_late(auth: Auth) -> None:
    ada, one, other = [await auth.register() for _ in range(3)]
    for admin in (one, other):
        await add(auth, ada, ada.workspace.id, admin.user.email, ADMIN)
    calls = (
        change(auth, one, ada.workspace.id, other.user.id, role=MEMBER),
        change(auth, other, ada.workspace.id, one.user.id, role=MEMBER),
    )
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Member", "PermissionDenied"]
    roles = [role for _, role in await members(auth, ada, ada.workspace.id)]
    assert sorted(roles) == [OWNER, ADMIN, MEMBER]


async def test_a_removal_and_a_change_of_a_role_at_once_have_one_order(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    await add(auth, ada, ada.workspace.id, grace.user.email)
    changed, _ = await asyncio.gather(
        change(auth, ada, ada.workspace.id, grace.user.id, role=ADMIN),
        remove(auth, ada, ada.workspace.id, grace.user.id),
        return_exceptions=True,
    )
    assert isinstance(changed, (workspaces_pb2.Member, NotFound))
    assert await members(auth, ada, ada.workspace.id) == [(ada.user.id, OWNER)]
    last = (await auth.events(ada.workspace.id))[-1]
    assert last["type"] == "workspace.member_removed"


async def test_concurrent_changes_of_members_have_one_order(auth: Auth) -> None:
    ada = await auth.register()
    others = [await auth.register() for _ in range(4)]
    calls = [add(auth, ada, ada.workspace.id, other.user.email) for other in others for _ in range(2)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [error.code for error in refused if isinstance(error, RotaError)] == ["ALREADY_A_MEMBER"] * 4
    versions = [row["aggregate_version"] for row in (await auth.events(ada.workspace.id))[1:]]
    assert versions == [1, 2, 3, 4, 5, 6]
    assert await auth.database.fetchval("SELECT version FROM workspaces WHERE id = $1::uuid", ada.workspace.id) == 6


async def test_a_copy_of_memberships_can_tell_newer_from_older(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    await add(auth, ada, ada.workspace.id, grace.user.email, ADMIN)
    request = workspaces_pb2.ListMembershipsRequest(user_id=grace.user.id)
    answer = await auth.workspaces.ListMemberships(request)
    assert {(each.workspace_id, each.role, each.version) for each in answer.memberships} == {
        (grace.workspace.id, OWNER, 2),
        (ada.workspace.id, ADMIN, 3),
    }
    await remove(auth, ada, ada.workspace.id, grace.user.id)
    answer = await auth.workspaces.ListMemberships(request)
    assert [each.workspace_id for each in answer.memberships] == [grace.workspace.id]
    with pytest.raises(PermissionDenied):
        await auth.workspaces.ListMemberships(request, metadata=auth.calling(grace))


async def test_workspaces_come_page_by_page_oldest_first(auth: Auth) -> None:
    grace = await auth.register()
    expected = [(grace.workspace.id, OWNER)]
    for _ in range(4):
        ada = await auth.register()
        await add(auth, ada, ada.workspace.id, grace.user.email)
        expected.append((ada.workspace.id, MEMBER))
    found, token, pages = [], "", 0
    while pages == 0 or token:
        request = workspaces_pb2.ListWorkspacesRequest(page_size=2, page_token=token)
        answer = await auth.workspaces.ListWorkspaces(request, metadata=auth.calling(grace))
        found += [(each.id, each.role) for each in answer.workspaces]
        token, pages = answer.next_page_token, pages + 1
    assert pages == 3
    assert found == expected


async def test_members_come_page_by_page_in_the_order_they_joined(auth: Auth) -> None:
    ada = await auth.register()
    expected = [ada.user.id]
    for _ in range(2):
        other = await auth.register()
        auth.clock.advance(0.001)
        await add(auth, ada, ada.workspace.id, other.user.email)
        expected.append(other.user.id)
    found, token, pages = [], "", 0
    while pages == 0 or token:
        request = workspaces_pb2.ListMembersRequest(workspace_id=ada.workspace.id, page_size=1, page_token=token)
        answer = await auth.workspaces.ListMembers(request, metadata=auth.calling(ada))
        found += [member.user_id for member in answer.members]
        token, pages = answer.next_page_token, pages + 1
    assert (found, pages) == (expected, 3)


async def test_a_page_token_works_for_its_caller_and_list_alone(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    await add(auth, ada, ada.workspace.id, grace.user.email)
    request = workspaces_pb2.ListMembersRequest(workspace_id=ada.workspace.id, page_size=1)
    token = (await auth.workspaces.ListMembers(request, metadata=auth.calling(ada))).next_page_token
    request.page_token = token
    foreign = auth.workspaces.ListMembers(request, metadata=auth.calling(grace))
    other = auth.workspaces.ListWorkspaces(
        workspaces_pb2.ListWorkspacesRequest(page_token=token), metadata=auth.calling(ada)
    )
    for call in (foreign, other):
        assert await code_of(call, InvalidArgument) == "INVALID_PAGE_TOKEN"
