"""What the mail of an invitation says. Auth knows it, and gives a new token for each mail: none is kept here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from rota.auth.v1 import invitations_pb2, invitations_pb2_grpc, workspaces_pb2

from rota_notifications.notifications.wording import one_line

if TYPE_CHECKING:
    from uuid import UUID

    import grpc

FOOTER = "You get this e-mail because somebody entered your address on Rota. If you do not know them, ignore it."
_ROLES = {
    workspaces_pb2.WORKSPACE_ROLE_ADMIN: "an admin",
    workspaces_pb2.WORKSPACE_ROLE_MEMBER: "a member",
    workspaces_pb2.WORKSPACE_ROLE_VIEWER: "a viewer",
}
_PLACE = "{token}"


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to somebody who may have no account.

    Attributes:
        email: Their address.
        name: Their name, which is not known.
        title: What it is about.
        body: The rest.
        footer: Why they get it.
    """

    email: str
    title: str
    body: str
    name: str = ""
    footer: str = FOOTER


class Letters:
    """Writes them.

    Args:
        auth: Whom to ask.
        page: Address of the page that accepts invitations, with `{token}` in it; None when there is none.
    """

    def __init__(self, auth: grpc.aio.Channel, page: str | None) -> None:
        self._auth = invitations_pb2_grpc.InvitationServiceStub(auth)
        self._page = page

    async def write(self, *, workspace_id: UUID, invitation_id: UUID) -> Letter:
        """The letter of an invitation, with a token of its own.

        Raises:
            NotFound: the invitation is over (code INVITATION_NOT_FOUND).
            Unavailable: auth cannot be asked now.
        """
        answer = await self._auth.IssueInvitationToken(
            invitations_pb2.IssueInvitationTokenRequest(workspace_id=str(workspace_id), id=str(invitation_id))
        )
        invitation, workspace = answer.invitation, one_line(answer.workspace_name)
        until = invitation.expires_at.ToDatetime(UTC)
        how = (
            f"Open {self._page.replace(_PLACE, answer.token)}"
            if self._page
            else f"Register or log in with this e-mail address, and accept with this token: {answer.token}"
        )
        return Letter(
            email=invitation.email,
            title=f"{one_line(answer.inviter_name) or 'Somebody'} invites you to {workspace}",
            body=f"You can join as {_ROLES[invitation.role]} until {until:%d %B %Y, %H:%M} UTC. {how}",
        )
