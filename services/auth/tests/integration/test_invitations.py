"""Invitations through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rota.auth.v1 import auth_pb2, invitations_pb2, workspaces_pb2
from rota_auth.invitations.domain import MAX_OPEN
from rota_chassis.errors import (
    AlreadyExists,
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RotaError,
    Unprocessable,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from conftest import Auth
    from rota.auth.v1.auth_pb2 import RegisterResponse

ADMIN, MEMBER, VIEWER = (
    workspaces_pb2.WORKSPACE_ROLE_ADMIN,
    workspaces_pb2.WORKSPACE_ROLE_MEMBER,
    workspaces_pb2.WORKSPACE_ROLE_VIEWER,
)


async def invite(
    auth: Auth, caller: RegisterResponse, email: str, *, workspace_id: str = "", **fields: Any
) -> invitations_pb2.Invitation:
    request = invitations_pb2.CreateInvitationRequest(
        workspace_id=workspace_id or caller.workspace.id, email=email, **fields
    )
    return (await auth.invitations.CreateInvitation(request, metadata=auth.calling(caller))).invitation


async def token_of(auth: Auth, invitation: invitations_pb2.Invitation) -> str:
    """A token as the mail has it: what the service that sends mails is given."""
    request = invitations_pb2.IssueInvitationTokenRequest(workspace_id=invitation.workspace_id, id=invitation.id)
    return (await auth.invitations.IssueInvitationToken(request)).token


async def accept(auth: Auth, caller: RegisterResponse, token: str) -> workspaces_pb2.Member:
    request = invitations_pb2.AcceptInvitationRequest(token=token)
    return (await auth.invitations.AcceptInvitation(request, metadata=auth.calling(caller))).member


async def revoke(auth: Auth, caller: RegisterResponse, invitation: invitations_pb2.Invitation) -> None:
    request = invitations_pb2.RevokeInvitationRequest(workspace_id=invitation.workspace_id, id=invitation.id)
    await auth.invitations.RevokeInvitation(request, metadata=auth.calling(caller))


async def resend(
    auth: Auth, caller: RegisterResponse, invitation: invitations_pb2.Invitation
) -> invitations_pb2.Invitation:
    request = invitations_pb2.ResendInvitationRequest(workspace_id=invitation.workspace_id, id=invitation.id)
    return (await auth.invitations.ResendInvitation(request, metadata=auth.calling(caller))).invitation


async def listed(auth: Auth, caller: RegisterResponse, workspace_id: str, **fields: Any) -> Any:
    request = invitations_pb2.ListInvitationsRequest(workspace_id=workspace_id, **fields)
    return await auth.invitations.ListInvitations(request, metadata=auth.calling(caller))


async def members(auth: Auth, caller: RegisterResponse, workspace_id: str) -> list[str]:
    request = workspaces_pb2.ListMembersRequest(workspace_id=workspace_id)
    answer = await auth.workspaces.ListMembers(request, metadata=auth.calling(caller))
    return [member.user_id for member in answer.members]


async def code_of(call: Awaitable[object], kind: type[RotaError]) -> str:
    with pytest.raises(kind) as caught:
        await call
    return caught.value.code


async def test_who_is_invited_joins_with_the_token_from_the_mail(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register(name="Grace")
    invitation = await invite(auth, ada, grace.user.email.upper(), role=VIEWER)
    assert (invitation.role, invitation.invited_by) == (VIEWER, ada.user.id)
    assert invitation.expires_at.ToDatetime() - invitation.sent_at.ToDatetime() == timedelta(days=7)
    member = await accept(auth, grace, await token_of(auth, invitation))
    assert (member.workspace_id, member.user_id, member.role, member.name) == (
        ada.workspace.id,
        grace.user.id,
        VIEWER,
        "Grace",
    )
    assert await members(auth, grace, ada.workspace.id) == [ada.user.id, grace.user.id]
    events = await auth.events(ada.workspace.id)
    assert [event["type"] for event in events[-3:]] == [
        "invitation.created",
        "workspace.member_added",
        "invitation.accepted",
    ]
    assert events[-1]["actor"] == f"user:{grace.user.id}"
    assert not (await listed(auth, ada, ada.workspace.id)).invitations


async def test_no_token_is_kept_or_told(auth: Auth) -> None:
    ada = await auth.register()
    invitation = await invite(auth, ada, auth.an_email())
    token = await token_of(auth, invitation)
    rows = await auth.database.fetch("SELECT * FROM invitation_tokens")
    assert all(token not in str(dict(row)) and token.encode() not in row["digest"] for row in rows)
    assert all(token not in str(dict(event)) for event in await auth.events(ada.workspace.id))


async def test_accepting_again_changes_nothing_and_others_find_none(auth: Auth) -> None:
    ada, grace, eve = [await auth.register() for _ in range(3)]
    invitation = await invite(auth, ada, grace.user.email)
    token = await token_of(auth, invitation)
    assert await code_of(accept(auth, eve, token), PermissionDenied) == "INVITATION_FOR_ANOTHER"
    first = await accept(auth, grace, token)
    assert await accept(auth, grace, token) == first
    assert await code_of(accept(auth, eve, token), NotFound) == "INVITATION_NOT_FOUND"
    assert await code_of(accept(auth, eve, "guess"), NotFound) == "INVITATION_NOT_FOUND"
    await auth.workspaces.RemoveMember(
        workspaces_pb2.RemoveMemberRequest(workspace_id=ada.workspace.id, user_id=grace.user.id),
        metadata=auth.calling(ada),
    )
    # It was good once.
    assert await code_of(accept(auth, grace, token), NotFound) == "INVITATION_NOT_FOUND"


async def test_two_who_accept_at_once_make_one_membership(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    invitation = await invite(auth, ada, grace.user.email)
    tokens = [await token_of(auth, invitation) for _ in range(2)]
    joined = await asyncio.gather(*(accept(auth, grace, tokens[number % 2]) for number in range(6)))
    assert len({member.SerializeToString() for member in joined}) == 1
    types = [event["type"] for event in await auth.events(ada.workspace.id)]
    assert (types.count("workspace.member_added"), types.count("invitation.accepted")) == (2, 1)


async def test_one_invitation_comes_of_two_at_once(auth: Auth) -> None:
    ada, email = await auth.register(), auth.an_email()
    made = await asyncio.gather(*(invite(auth, ada, email) for _ in range(4)), return_exceptions=True)
    assert sorted(getattr(each, "code", "made") for each in made) == ["ALREADY_INVITED"] * 3 + ["made"]


async def test_a_member_needs_no_invitation(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    invitation = await invite(auth, ada, grace.user.email)
    token = await token_of(auth, invitation)
    await auth.workspaces.AddMember(
        workspaces_pb2.AddMemberRequest(workspace_id=ada.workspace.id, email=grace.user.email),
        metadata=auth.calling(ada),
    )
    assert await code_of(invite(auth, ada, grace.user.email), AlreadyExists) == "ALREADY_A_MEMBER"
    assert await code_of(accept(auth, grace, token), AlreadyExists) == "ALREADY_A_MEMBER"


async def test_whether_an_address_is_registered_makes_no_difference(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    known, unknown = await invite(auth, ada, grace.user.email), await invite(auth, ada, auth.an_email())
    for each in (known, unknown):
        for name in ("id", "email", "created_at", "sent_at", "expires_at"):
            each.ClearField(name)
    assert known == unknown


async def test_an_invitation_ends_after_seven_days_and_can_be_made_anew(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    invitation = await invite(auth, ada, grace.user.email)
    token = await token_of(auth, invitation)
    # Access tokens would be over by then as well, so that the invitation is aged instead of the clock.
    await auth.database.execute("UPDATE invitations SET expires_at = now() - interval '1 second'")
    assert await code_of(accept(auth, grace, token), NotFound) == "INVITATION_NOT_FOUND"
    assert await code_of(token_of(auth, invitation), NotFound) == "INVITATION_NOT_FOUND"
    assert await code_of(resend(auth, ada, invitation), NotFound) == "INVITATION_NOT_FOUND"
    assert not (await listed(auth, ada, ada.workspace.id)).invitations
    again = await invite(auth, ada, grace.user.email)
    assert again.id != invitation.id
    await accept(auth, grace, await token_of(auth, again))


async def test_sending_again_and_revoking_void_the_tokens_before(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    invitation = await invite(auth, ada, grace.user.email)
    old = await token_of(auth, invitation)
    again = await resend(auth, ada, invitation)
    assert (again.id, again.created_at) == (invitation.id, invitation.created_at)
    assert (await auth.events(ada.workspace.id))[-1]["type"] == "invitation.resent"
    assert await code_of(accept(auth, grace, old), NotFound) == "INVITATION_NOT_FOUND"
    new = await token_of(auth, invitation)
    await revoke(auth, ada, invitation)
    assert await code_of(accept(auth, grace, new), NotFound) == "INVITATION_NOT_FOUND"
    assert await code_of(revoke(auth, ada, invitation), NotFound) == "INVITATION_NOT_FOUND"
    assert (await auth.events(ada.workspace.id))[-1]["type"] == "invitation.revoked"


async def test_only_owners_and_admins_invite_and_see_invitations(auth: Auth) -> None:
    ada, admin, member, eve = [await auth.register() for _ in range(4)]
    workspace_id = ada.workspace.id
    for user, role in ((admin, ADMIN), (member, MEMBER)):
        await accept(auth, user, await token_of(auth, await invite(auth, ada, user.user.email, role=role)))
    invitation = await invite(auth, admin, auth.an_email(), workspace_id=workspace_id)
    for caller, kind, code in (
        (member, PermissionDenied, "WORKSPACE_ROLE_REQUIRED"),
        (eve, NotFound, "WORKSPACE_NOT_FOUND"),
    ):
        for call in (
            invite(auth, caller, auth.an_email(), workspace_id=workspace_id),
            listed(auth, caller, workspace_id),
            revoke(auth, caller, invitation),
            resend(auth, caller, invitation),
        ):
            assert await code_of(call, kind) == code
    # Nor does one workspace reach the invitations of another.
    theirs = invitations_pb2.Invitation(workspace_id=eve.workspace.id, id=invitation.id)
    assert await code_of(revoke(auth, eve, theirs), NotFound) == "INVITATION_NOT_FOUND"
    await revoke(auth, admin, invitation)


async def test_only_services_are_given_tokens(auth: Auth) -> None:
    ada = await auth.register()
    invitation = await invite(auth, ada, auth.an_email())
    request = invitations_pb2.IssueInvitationTokenRequest(workspace_id=invitation.workspace_id, id=invitation.id)
    with pytest.raises(PermissionDenied):
        await auth.invitations.IssueInvitationToken(request, metadata=auth.calling(ada))


async def test_bad_input_is_refused(auth: Auth) -> None:
    ada = await auth.register()
    for fields in (
        {"email": "nobody"},
        {"email": f"{'x' * 250}@example.com"},
        {"email": auth.an_email(), "role": workspaces_pb2.WORKSPACE_ROLE_OWNER},
        {"email": auth.an_email(), "workspace_id": "x"},
    ):
        with pytest.raises(InvalidArgument):
            await invite(auth, ada, **fields)
    for token in ("", "x" * 129):
        with pytest.raises(InvalidArgument):
            await accept(auth, ada, token)


async def test_pages_show_every_invitation_once_newest_first(auth: Auth) -> None:
    ada = await auth.register()
    made = [(await invite(auth, ada, auth.an_email())).id for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        answer = await listed(auth, ada, ada.workspace.id, page_size=2, page_token=token)
        seen.extend(each.id for each in answer.invitations)
        token = answer.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    with pytest.raises(InvalidArgument):
        await listed(auth, ada, ada.workspace.id, page_token="forged")


async def test_a_workspace_has_so_many_invitations_and_no_more(auth: Auth) -> None:
    ada = await auth.register()
    await auth.database.execute(
        """
        INSERT INTO invitations
            (workspace_id, id, email, role, state, invited_by, created_at, sent_at, expires_at, version)
        SELECT $1, gen_random_uuid(), number || '@example.com', 'member', 'open', $1, now(), now(),
            now() + interval '1 day', 1
        FROM generate_series(1, $2) AS number
        """,
        ada.workspace.id,
        MAX_OPEN,
    )
    assert await code_of(invite(auth, ada, auth.an_email()), Conflict) == "TOO_MANY_INVITATIONS"


async def test_who_is_not_registered_joins_by_registering(auth: Auth) -> None:
    ada, email = await auth.register(), auth.an_email()
    invitation = await invite(auth, ada, email, role=ADMIN)
    token = await token_of(auth, invitation)
    request = auth_pb2.RegisterRequest(email=email, password="correct horse battery", name="Grace")

    def with_token(given: str, address: str = email) -> auth_pb2.RegisterRequest:
        wanted = auth_pb2.RegisterRequest()
        wanted.CopyFrom(request)
        wanted.invitation_token, wanted.email = given, address
        return wanted

    assert await code_of(auth.sessions.Register(with_token("guess")), NotFound) == "INVITATION_NOT_FOUND"
    other = auth.an_email()
    assert await code_of(auth.sessions.Register(with_token(token, other)), PermissionDenied) == "INVITATION_FOR_ANOTHER"
    # Nobody was registered by those.
    await auth.register(other)
    grace = await auth.sessions.Register(with_token(token))
    assert await members(auth, grace, ada.workspace.id) == [ada.user.id, grace.user.id]
    assert grace.workspace.owner_id == grace.user.id


async def test_a_repeated_request_gives_the_first_invitation(auth: Auth) -> None:
    ada = await auth.register()
    email = auth.an_email()
    first = await invite(auth, ada, email, request_id="one", role=ADMIN)
    assert await invite(auth, ada, email, request_id="one", role=ADMIN) == first
    assert len((await listed(auth, ada, ada.workspace.id)).invitations) == 1
    other = invite(auth, ada, auth.an_email(), request_id="one", role=ADMIN)
    assert await code_of(other, Unprocessable) == "REQUEST_ID_REUSED"
    assert await code_of(invite(auth, ada, email), AlreadyExists) == "ALREADY_INVITED"
    await resend(auth, ada, first)
    assert (await invite(auth, ada, email, request_id="one", role=ADMIN)).id == first.id
    types = [row["type"] for row in await auth.events(ada.workspace.id)]
    assert types.count("invitation.created") == 1


async def test_the_same_request_at_once_makes_one_invitation(auth: Auth) -> None:
    ada = await auth.register()
    email = auth.an_email()
    made = await asyncio.gather(*(invite(auth, ada, email, request_id="at once") for _ in range(5)))
    assert len({invitation.id for invitation in made}) == 1


async def test_a_request_id_is_of_one_user(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register()
    await accept(auth, grace, await token_of(auth, await invite(auth, ada, grace.user.email, role=ADMIN)))
    first = await invite(auth, ada, auth.an_email(), request_id="mine")
    other = await invite(auth, grace, auth.an_email(), workspace_id=ada.workspace.id, request_id="mine")
    assert other.id != first.id
