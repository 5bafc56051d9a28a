from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from rota_auth.invitations.domain import LIFETIME, Invitation, State, accept, create, digest, new_token, resend, revoke
from rota_auth.workspaces.domain import WorkspaceRole

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def an_invitation() -> Invitation:
    return create(
        uuid4(), uuid4(), email="Grace@Example.com", role=WorkspaceRole.MEMBER, invited_by=uuid4(), now=NOW
    ).invitation


def test_an_invitation_lasts_seven_days_and_another_seven_when_sent_again() -> None:
    invitation = an_invitation()
    assert invitation.is_open(NOW + LIFETIME - timedelta(seconds=1))
    assert not invitation.is_open(NOW + LIFETIME)
    again = resend(invitation, now=NOW + timedelta(days=6)).invitation
    assert (again.is_open(NOW + LIFETIME), again.version, again.created_at) == (True, 2, NOW)


def test_what_is_revoked_or_accepted_lets_nobody_in() -> None:
    user_id = uuid4()
    accepted = accept(an_invitation(), user_id, now=NOW).invitation
    assert (accepted.state, accepted.accepted_by, accepted.is_open(NOW)) == (State.ACCEPTED, user_id, False)
    assert not revoke(an_invitation(), now=NOW).invitation.is_open(NOW)


def test_an_address_counts_whatever_its_case() -> None:
    assert an_invitation().is_for("grace@example.COM")
    assert not an_invitation().is_for("grace@example.org")


def test_tokens_are_long_and_different_and_only_their_hash_is_kept() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 43 and token.encode() not in digest(token) for token in tokens)
