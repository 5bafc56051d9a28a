"""Nobody is told of anything in a project that they may not see when they would be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from rota.events.v1 import events_pb2
from rota.tasks.v1 import comments_pb2, tasks_pb2
from rota_chassis.ids import uuid7
from rota_chassis.testing.services import User
from rota_chassis.testing.tasks import a_project
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import Stage
    from integration.conftest import Queue
    from rota_chassis.testing.tokens import TokenIssuer

_EVENTS = {
    "created": events_pb2.ProjectCreated,
    "updated": events_pb2.ProjectUpdated,
    "deleted": events_pb2.ProjectDeleted,
    "member_added": events_pb2.ProjectMemberAdded,
    "member_removed": events_pb2.ProjectMemberRemoved,
}


async def project(
    stage: Stage, event: str, project_id: str, *member_ids: UUID, version: int = 1, private: bool = True
) -> None:
    """Tell of a project of Ada's workspace."""
    shown, members = a_project(
        stage.ada.workspace_id, *member_ids, project_id=project_id, version=version, private=private
    )
    await stage.publish(
        _EVENTS[event](project=shown, members=members),
        workspace_id=stage.ada.workspace_id,
        actor="system",
        aggregate_id=UUID(project_id),
        version=version,
    )


async def say(stage: Stage, project_id: str, *to: User, text: str = "Look") -> None:
    """Somebody mentions users in a comment in a project of Ada's workspace."""
    comment = comments_pb2.Comment(
        id=str(uuid7()), task_id=str(uuid7()), text=text, mentioned_ids=[str(each.id) for each in to]
    )
    await stage.publish(
        events_pb2.CommentCreated(comment=comment, task_title=text, project_id=project_id),
        workspace_id=stage.ada.workspace_id,
        actor="system",
    )


async def remind(stage: Stage, task_id: str, *to: User, **fields: Any) -> None:
    reminder = events_pb2.ReminderFired(
        kind=events_pb2.REMINDER_KIND_DUE,
        task_id=task_id,
        title="Water the plants",
        recipient_ids=[str(each.id) for each in to],
        **fields,
    )
    await stage.publish(reminder, workspace_id=stage.ada.workspace_id, actor="system")


async def titles(stage: Stage, user: User) -> list[str]:
    return sorted(each.title.split(": ")[-1] for each in (await stage.page(user, page_size=200)).notifications)


def in_adas_workspace(stage: Stage, user: User, role: str = "member") -> None:
    stage.auth.add_member(stage.ada.workspace_id, user.id, role=role)


async def handled(stage: Stage, count: int) -> None:
    """Wait until so many events have been handled by what tells people."""
    await eventually(
        lambda: stage.rows.fetchval("SELECT count(*) >= $1 FROM inbox WHERE consumer = 'notifications'", count),
        timeout_s=30,
    )


async def test_what_happens_in_a_private_project_is_told_to_its_members_and_the_owner_alone(
    stage: Stage, issuer: TokenIssuer
) -> None:
    alan = User(issuer)
    stage.auth.add_user(alan, name="Alan")
    for user in (stage.grace, alan):
        in_adas_workspace(stage, user)
    project_id = str(uuid7())
    await project(stage, "created", project_id, alan.id)
    await say(stage, project_id, stage.ada, stage.grace, alan, text="hidden")
    task = tasks_pb2.Task(
        id=str(uuid7()),
        title="hidden task",
        created_by=str(alan.id),
        project_id=project_id,
        assignee_ids=[str(stage.grace.id), str(alan.id)],
    )
    for data in (
        events_pb2.TaskCreated(task=task),
        events_pb2.TaskAssigned(task=task, added_ids=[str(stage.grace.id)]),
        events_pb2.TaskCompleted(task=task),
    ):
        await stage.publish(data, workspace_id=stage.ada.workspace_id, actor="system")
    await remind(stage, task.id, stage.grace, alan, project_id=project_id)
    await handled(stage, 5)
    await say(stage, "", stage.grace, text="seen")
    (told,) = await stage.listed(stage.grace, 1)
    assert told.title.endswith("seen")
    assert len(await titles(stage, alan)) == 4
    assert len(await titles(stage, stage.ada)) == 1
    await stage.settled(6)
    assert len(stage.mailed(stage.grace)) == 1


async def test_reminders_of_tasks_whose_project_is_not_known_ask_where_the_task_is(stage: Stage) -> None:
    in_adas_workspace(stage, stage.grace)
    hidden = stage.work.add_private(stage.ada.workspace_id)
    await remind(stage, stage.work.add_task(hidden), stage.grace, stage.ada)
    await remind(stage, stage.work.add_task(), stage.grace)
    await handled(stage, 2)
    assert len(await titles(stage, stage.grace)) == 1
    assert len(await titles(stage, stage.ada)) == 1


async def test_tasks_is_asked_a_bounded_number_of_times_about_a_reminder_that_does_not_say_its_project(
    stage: Stage,
) -> None:
    stranger = uuid7()
    hidden = stage.work.add_private(stage.ada.workspace_id)
    task_id = stage.work.add_task(hidden)
    reminder = events_pb2.ReminderFired(
        kind=events_pb2.REMINDER_KIND_REMINDER,
        task_id=task_id,
        title="Water the plants",
        recipient_ids=[str(stage.ada.id), str(stage.grace.id), str(stranger)],
    )
    await stage.publish(reminder, workspace_id=stage.ada.workspace_id, actor="system")
    await handled(stage, 1)
    assert len(await titles(stage, stage.ada)) == 1
    assert await titles(stage, stage.grace) == []
    # Which projects are private; where the task is, and once more when auth has been asked about those unknown here.
    assert stage.work.asked == 3
    await remind(stage, task_id, stage.ada)
    await handled(stage, 2)
    assert stage.work.asked == 4


async def test_reminders_are_told_while_tasks_is_of_the_release_before(stage: Stage) -> None:
    stage.work.locates = False
    in_adas_workspace(stage, stage.grace)
    await remind(stage, str(uuid7()), stage.grace)
    await stage.listed(stage.grace, 1)


async def test_tasks_is_asked_once_about_projects_from_before_the_stream(stage: Stage) -> None:
    in_adas_workspace(stage, stage.grace)
    hidden = stage.work.add_private(stage.ada.workspace_id, version=7)
    # Older news, that arrive late, do not show it.
    await project(stage, "updated", hidden, version=6, private=False)
    for _ in range(5):
        await say(stage, hidden, stage.grace, text="hidden")
    await handled(stage, 5)
    await say(stage, "", stage.grace, text="seen")
    await stage.listed(stage.grace, 1)
    assert stage.work.asked == 1


@pytest.mark.parametrize("role", ["owner", "admin"])
async def test_who_manages_the_workspace_is_told_of_all_of_it(stage: Stage, role: str) -> None:
    in_adas_workspace(stage, stage.grace, role)
    project_id = str(uuid7())
    await project(stage, "created", project_id)
    await say(stage, project_id, stage.grace)
    await stage.listed(stage.grace, 1)


async def test_a_role_that_is_taken_away_hides_and_leaving_the_workspace_hides_everything(stage: Stage) -> None:
    membership = stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="admin", version=3)
    project_id, workspace_id = str(uuid7()), stage.ada.workspace_id
    await project(stage, "created", project_id)
    await stage.publish(
        events_pb2.WorkspaceMemberAdded(membership=membership), workspace_id=workspace_id, actor="system"
    )
    await say(stage, project_id, stage.grace, text="seen")
    await stage.listed(stage.grace, 1)
    membership.role, membership.version = 3, 4
    await stage.publish(
        events_pb2.WorkspaceMemberChanged(membership=membership), workspace_id=workspace_id, actor="system"
    )
    await say(stage, project_id, stage.grace, text="hidden")
    await say(stage, str(uuid7()), stage.grace, text="seen too")
    await stage.listed(stage.grace, 2)
    membership.version = 5
    await stage.publish(
        events_pb2.WorkspaceMemberRemoved(membership=membership), workspace_id=workspace_id, actor="system"
    )
    await say(stage, str(uuid7()), stage.grace, text="after leaving")
    await handled(stage, 4)
    assert await titles(stage, stage.grace) == ["seen", "seen too"]


async def test_a_comment_right_after_a_removal_is_not_told_however_many_replicas_there_are(stage_on: Any) -> None:
    rounds = 40
    async with stage_on(replicas=2) as stage:
        in_adas_workspace(stage, stage.grace)
        for number in range(rounds):
            project_id = str(uuid7())
            await project(stage, "created", project_id, stage.grace.id)
            await project(stage, "member_removed", project_id, version=2)
            await say(stage, project_id, stage.grace, text=f"hidden {number}")
            await say(stage, project_id, stage.ada, text=f"hidden {number}")
        await handled(stage, 2 * rounds)
        assert await titles(stage, stage.grace) == []
        assert len(await titles(stage, stage.ada)) == rounds


async def test_a_comment_right_after_a_project_was_opened_is_told(stage_on: Any) -> None:
    rounds = 40
    async with stage_on(replicas=2) as stage:
        in_adas_workspace(stage, stage.grace)
        for number in range(rounds):
            project_id = str(uuid7())
            await project(stage, "created", project_id)
            if number % 2:
                await project(stage, "member_added", project_id, stage.grace.id, version=2)
            else:
                await project(stage, "updated", project_id, version=2, private=False)
            await say(stage, project_id, stage.grace, text=f"shown {number}")
        assert len(await stage.listed(stage.grace, rounds)) == rounds


async def test_a_mail_that_waits_is_not_sent_once_its_project_is_hidden(queue: Queue) -> None:
    hidden, named, shown = uuid7(), uuid7(), uuid7()
    for project_id, private, member_ids in ((hidden, True, []), (named, True, [queue.user.id]), (shown, False, [])):
        await queue.rows.execute(
            "INSERT INTO private_projects VALUES ($1, $2, 1, $3, $4)",
            queue.user.workspace_id, project_id, private, member_ids,
        )  # fmt: skip
        await queue.add(project_id=project_id)
    async with queue.sink() as server:
        await queue.run_dry(queue.sender(server.url))
    assert await queue.states() == {"sent": 2, "failed": 1}
    assert await queue.rows.fetchval("SELECT project_id FROM email_deliveries WHERE state = 'failed'") == hidden
    await queue.rows.execute(
        "INSERT INTO memberships VALUES ($1, $2, 'admin', 1, false)", queue.user.workspace_id, queue.user.id
    )
    await queue.add(project_id=hidden)
    async with queue.sink() as server:
        await queue.run_dry(queue.sender(server.url))
    assert await queue.states() == {"sent": 3, "failed": 1}
