from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from rota_auth.workspaces.domain import (
    ManagersOnly,
    MemberAdded,
    OwnerOnly,
    OwnerStays,
    WorkspaceCreated,
    WorkspaceRole,
    add_member,
    change_member,
    create,
    hand_over,
    remove_member,
    require_manager,
)

if TYPE_CHECKING:
    from rota_auth.workspaces.domain import Workspace

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OWNER = uuid4()


def a_workspace(workspace_id: UUID | None = None) -> Workspace:
    return create(workspace_id or uuid4(), owner_id=OWNER, owner_name="Ada", now=NOW)[-1].workspace


def test_a_workspace_begins_with_its_owner_in_it() -> None:
    created, joined = create(uuid4(), owner_id=OWNER, owner_name="Ada", now=NOW)
    assert isinstance(created, WorkspaceCreated)
    assert isinstance(joined, MemberAdded)
    assert (created.workspace.name, created.workspace.version) == ("Ada's workspace", 1)
    assert (joined.membership.user_id, joined.membership.role) == (OWNER, WorkspaceRole.OWNER)
    assert joined.membership.version == joined.workspace.version == 2


def test_each_change_of_members_is_the_next_version_of_the_workspace() -> None:
    user_id, later = uuid4(), NOW + timedelta(hours=1)
    added = add_member(a_workspace(), user_id, WorkspaceRole.VIEWER, now=NOW)
    removed = remove_member(added.workspace, added.membership, now=later)
    again = add_member(removed.workspace, user_id, WorkspaceRole.MEMBER, now=later)
    assert [event.membership.version for event in (added, removed, again)] == [3, 4, 5]
    assert removed.membership.removed_at == later
    assert again.membership.removed_at is None


def test_another_role_is_the_next_version_and_the_same_role_is_nothing() -> None:
    added = add_member(a_workspace(), uuid4(), WorkspaceRole.VIEWER, now=NOW)
    (changed,) = change_member(added.workspace, added.membership, WorkspaceRole.ADMIN, now=NOW + timedelta(hours=1))
    assert (changed.membership.role, changed.membership.version) == (WorkspaceRole.ADMIN, 4)
    assert changed.workspace.version == 4
    assert changed.membership.joined_at == NOW
    assert not change_member(changed.workspace, changed.membership, WorkspaceRole.ADMIN, now=NOW)


def test_the_owner_stays_the_owner() -> None:
    joined = create(uuid4(), owner_id=OWNER, owner_name="Ada", now=NOW)[-1]
    assert isinstance(joined, MemberAdded)
    with pytest.raises(OwnerStays):
        change_member(joined.workspace, joined.membership, WorkspaceRole.ADMIN, now=NOW)


def test_a_workspace_that_is_handed_over_never_has_two_owners() -> None:
    joined = create(uuid4(), owner_id=OWNER, owner_name="Ada", now=NOW)[-1]
    assert isinstance(joined, MemberAdded)
    added = add_member(joined.workspace, uuid4(), WorkspaceRole.VIEWER, now=NOW)
    first, last = hand_over(added.workspace, joined.membership, added.membership, now=NOW)
    assert (first.membership.user_id, first.membership.role) == (OWNER, WorkspaceRole.ADMIN)
    assert (last.membership.role, last.membership.version) == (WorkspaceRole.OWNER, 5)
    assert (last.workspace.owner_id, last.workspace.version) == (added.membership.user_id, 5)
    assert not hand_over(last.workspace, first.membership, last.membership, now=NOW)
    with pytest.raises(OwnerOnly):
        hand_over(last.workspace, first.membership, first.membership, now=NOW)


def test_the_owner_stays() -> None:
    joined = create(uuid4(), owner_id=OWNER, owner_name="Ada", now=NOW)[-1]
    assert isinstance(joined, MemberAdded)
    with pytest.raises(OwnerStays):
        remove_member(joined.workspace, joined.membership, now=NOW)


@pytest.mark.parametrize("role", [WorkspaceRole.MEMBER, WorkspaceRole.VIEWER])
def test_members_and_viewers_do_not_manage(role: WorkspaceRole) -> None:
    with pytest.raises(ManagersOnly):
        require_manager(role)


@pytest.mark.parametrize("role", [WorkspaceRole.OWNER, WorkspaceRole.ADMIN])
def test_owners_and_admins_manage(role: WorkspaceRole) -> None:
    require_manager(role)
