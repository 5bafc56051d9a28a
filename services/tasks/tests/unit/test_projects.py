"""Who is named in a project: what follows from each change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from rota_tasks.projects import domain
from rota_tasks.projects.domain import MAX_MEMBERS, Member, Project, Role, Visibility
from rota_tasks.projects.messages import event_message, project_of

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def user(number: int) -> UUID:
    return UUID(int=number)


def member(number: int, role: Role = Role.MEMBER) -> Member:
    return Member(user_id=user(number), role=role, added_by=user(1), added_at=NOW)


def project(*members: Member, visibility: Visibility = Visibility.WORKSPACE) -> Project:
    return Project(
        id=user(100),
        workspace_id=user(101),
        name="Merger",
        visibility=visibility,
        created_by=user(1),
        created_at=NOW,
        updated_at=NOW,
        members=members,
    )


def test_a_private_project_begins_with_its_creator_as_admin_and_another_with_nobody() -> None:
    assert domain.create(project(visibility=Visibility.PRIVATE)).project.members == (member(1, Role.ADMIN),)
    assert domain.create(project()).project.members == ()


def test_members_are_added_in_the_order_of_their_ids_each_with_a_version() -> None:
    added = domain.add_member(project(member(5)), member(3), now=LATER)
    assert [each.user_id for each in added.project.members] == [user(3), user(5)]
    assert (added.project.version, added.project.updated_at, added.member) == (2, LATER, member(3))


def test_there_are_so_many_members_and_no_more() -> None:
    full = project(*(member(number) for number in range(MAX_MEMBERS)))
    with pytest.raises(OverflowError, match="1,000"):
        domain.add_member(full, member(MAX_MEMBERS), now=LATER)


def test_another_role_is_a_change_and_the_same_is_none() -> None:
    before = project(member(2), member(3))
    (changed,) = domain.change_member(before, member(2), Role.VIEWER, now=LATER)
    assert changed.project.members == (member(2, Role.VIEWER), member(3))
    assert domain.change_member(before, member(2), Role.MEMBER, now=LATER) == []


def test_who_is_taken_out_is_named_no_longer() -> None:
    removed = domain.remove_member(project(member(2), member(3)), member(2), now=LATER)
    assert (removed.member, removed.project.members) == (member(2), (member(3),))


def test_events_hold_all_members_and_are_read_as_they_were_written() -> None:
    removed = domain.remove_member(project(member(2), member(3)), member(2), now=LATER)
    data = event_message(removed).data
    assert project_of(data.project, data.members) == removed.project  # type: ignore[attr-defined]
    assert project_of(data.project, data.members).members == (member(3),)  # type: ignore[attr-defined]
    assert data.member.user_id == str(user(2))  # type: ignore[attr-defined]


def test_a_project_from_before_there_were_private_ones_is_seen_by_the_workspace() -> None:
    data = event_message(domain.create(project())).data
    data.project.ClearField("visibility")  # type: ignore[attr-defined]
    assert project_of(data.project) == replace(project(), version=1)  # type: ignore[attr-defined]
