"""Mails to people who are invited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from rota.auth.v1 import invitations_pb2, workspaces_pb2
from rota.events.v1 import events_pb2
from rota_chassis.ids import uuid7
from rota_chassis.testing.waiting import eventually
from rota_notifications.email import store

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage
    from pathlib import Path

    from conftest import Stage
    from integration.conftest import Queue

EMAIL = "hedy@example.com"
TOKEN = "Zm9vYmFy-token"


def a_letter(workspace_id: UUID, *, token: str = TOKEN, **fields: str) -> invitations_pb2.IssueInvitationTokenResponse:
    """An open invitation, as auth tells of it."""
    invitation = invitations_pb2.Invitation(
        id=str(uuid7()),
        workspace_id=str(workspace_id),
        email=EMAIL,
        role=workspaces_pb2.WORKSPACE_ROLE_MEMBER,
    )
    invitation.expires_at.FromDatetime(datetime(2026, 5, 8, 10, tzinfo=UTC))
    words = {"workspace_name": "Ada's workspace", "inviter_name": "Ada"} | fields
    return invitations_pb2.IssueInvitationTokenResponse(invitation=invitation, token=token, **words)


async def queued(queue: Queue, letter: invitations_pb2.IssueInvitationTokenResponse) -> None:
    async with queue.database.transaction() as work:
        await store.add_invitation(
            work,
            workspace_id=queue.user.workspace_id,
            invitation_id=UUID(letter.invitation.id),
            now=queue.clock.now(),
        )


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(preferencelist=("plain",))
    assert body is not None
    text: str = body.get_content()
    return text


async def test_an_invitation_is_mailed_once_for_each_event_with_its_token(
    stage: Stage, mails_in: Callable[[Path, str], list[EmailMessage]]
) -> None:
    letter = a_letter(stage.ada.workspace_id)
    stage.auth.add_invitation(letter)
    event_id = uuid7()
    for data in (events_pb2.InvitationCreated, events_pb2.InvitationCreated):
        await stage.publish(
            data(invitation=letter.invitation),
            workspace_id=stage.ada.workspace_id,
            actor=f"user:{stage.ada.id}",
            event_id=event_id,
        )
    await stage.settled(1)
    (mail,) = mails_in(stage.mails, EMAIL)
    assert (mail["To"], mail["Subject"]) == (EMAIL, "Ada invites you to Ada's workspace")
    assert "X-Rota-Notification" not in mail
    assert TOKEN in text_of(mail)
    assert "a member until 08 May 2026, 10:00 UTC" in " ".join(text_of(mail).split())
    assert "because somebody entered your address" in " ".join(text_of(mail).split())
    await stage.publish(
        events_pb2.InvitationResent(invitation=letter.invitation),
        workspace_id=stage.ada.workspace_id,
        actor=f"user:{stage.ada.id}",
    )
    await stage.settled(2)
    assert len(mails_in(stage.mails, EMAIL)) == 2
    rows = await stage.rows.fetch("SELECT d::text AS row FROM email_deliveries d UNION SELECT e::text FROM events e")
    assert all(TOKEN not in row["row"] for row in rows)


async def test_an_invitation_that_is_over_is_not_mailed_and_holds_up_nobody(queue: Queue) -> None:
    await queued(queue, a_letter(queue.user.workspace_id))
    await queue.add()
    async with queue.sink() as sink:
        await queue.run_dry(queue.sender(sink.url))
    assert await queue.states() == {"failed": 1, "sent": 1}
    assert await queue.rows.fetchval("SELECT last_error FROM email_deliveries WHERE state = 'failed'") == (
        "the invitation is over"
    )


async def test_an_invitation_waits_while_the_mail_server_is_down(queue: Queue) -> None:
    letter = a_letter(queue.user.workspace_id)
    queue.auth.add_invitation(letter)
    await queued(queue, letter)
    async with queue.sink() as sink:
        url, port = sink.url, int(sink.url.rpartition(":")[2])
    sender = queue.sender(url)
    await sender.tick()
    assert await queue.states() == {"pending": 1}
    queue.clock.advance(120)
    async with queue.sink(port=port):
        await queue.run_dry(sender)
    assert len(queue.arrived(queue.folder, EMAIL)) == 1


@pytest.mark.parametrize("name", ["Ada\r\nBcc: eve@example.com", "", "<b>Ada</b>"], ids=["newline", "none", "markup"])
async def test_a_mail_is_one_whatever_the_names_hold(queue: Queue, name: str) -> None:
    letter = a_letter(queue.user.workspace_id, inviter_name=name)
    queue.auth.add_invitation(letter)
    await queued(queue, letter)
    async with queue.sink() as sink:
        await queue.run_dry(queue.sender(sink.url))
    (mail,) = queue.arrived(queue.folder, EMAIL)
    assert mail["Bcc"] is None
    assert mail["Subject"].endswith(" invites you to Ada's workspace")
    page = mail.get_body(preferencelist=("html",))
    assert page is not None
    assert "<b>" not in page.get_content()


async def test_a_mail_leads_to_the_page_that_accepts_when_there_is_one(queue: Queue) -> None:
    letter = a_letter(queue.user.workspace_id)
    queue.auth.add_invitation(letter)
    letters = queue.letters_to("https://rota.example.com/join#{token}")
    written = await letters.write(workspace_id=queue.user.workspace_id, invitation_id=UUID(letter.invitation.id))
    assert f"Open https://rota.example.com/join#{TOKEN}" in written.body


async def test_an_old_invitation_is_not_mailed(stage: Stage) -> None:
    letter = a_letter(stage.ada.workspace_id)
    stage.auth.add_invitation(letter)
    await stage.publish(
        events_pb2.InvitationCreated(invitation=letter.invitation),
        workspace_id=stage.ada.workspace_id,
        actor=f"user:{stage.ada.id}",
        time=datetime.now(UTC) - timedelta(days=2),
    )
    await stage.assign(stage.grace)
    await eventually(lambda: stage.rows.fetchval("SELECT count(*) > 0 FROM email_deliveries"))
    assert await stage.rows.fetchval("SELECT count(*) FROM email_deliveries WHERE invitation_id IS NOT NULL") == 0
