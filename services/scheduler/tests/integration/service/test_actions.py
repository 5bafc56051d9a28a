"""Actions, with what they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rota.scheduler.v1 import schedules_pb2
from rota.tasks.v1 import tasks_pb2
from rota_chassis.errors import InvalidArgument
from rota_chassis.ids import uuid7

if TYPE_CHECKING:
    from conftest import World


async def test_a_task_is_moved_and_assigned_on_behalf_of_the_creator(world: World) -> None:
    task_id, someone = str(uuid7()), str(uuid7())
    for action in (
        schedules_pb2.TaskAction(
            transition=schedules_pb2.TransitionTaskAction(task_id=task_id, status=tasks_pb2.TASK_STATUS_DONE)
        ),
        schedules_pb2.TaskAction(assign=schedules_pb2.AssignTaskAction(task_id=task_id, assignee_id=someone)),
    ):
        run = await world.ended(schedules_pb2.Action(task=action))
        assert (run.status, run.task_id) == (schedules_pb2.RUN_STATUS_SUCCEEDED, task_id)
    (moved, assigned) = (request for _, request in world.tasks.changes)
    assert (moved.id, moved.status, list(moved.update_mask.paths)) == (task_id, tasks_pb2.TASK_STATUS_DONE, ["status"])
    assert (assigned.id, assigned.assignee_id) == (task_id, someone)
    assert {principal.user_id for principal, _ in world.tasks.changes if principal} == {world.owner.id}


async def test_a_task_that_the_creator_does_not_see_fails_the_run_at_once(world: World) -> None:
    complete = schedules_pb2.CompleteTaskAction(task_id=str(uuid7()))
    run = await world.ended(schedules_pb2.Action(task=schedules_pb2.TaskAction(complete=complete)))
    assert (run.status, run.attempts) == (schedules_pb2.RUN_STATUS_FAILED, 1)
    assert run.error.startswith("TASK_NOT_FOUND")


async def test_a_comment_is_repeated_under_one_request_id(world: World) -> None:
    comment = schedules_pb2.CommentTaskAction(task_id=str(uuid7()), body="Still open?")
    run = await world.ended(
        schedules_pb2.Action(
            task=schedules_pb2.TaskAction(comment=comment), retry=schedules_pb2.RetryPolicy(first_delay_s=1)
        ),
    )
    assert (run.status, run.attempts) == (schedules_pb2.RUN_STATUS_SUCCEEDED, 2)
    assert [call.request_id for call in world.comments.calls] == [run.id, run.id]
    assert world.comments.calls[0].text == "Still open?"


async def test_a_template_is_used_under_one_request_id_on_behalf_of_the_creator(world: World) -> None:
    use = schedules_pb2.InstantiateTemplateAction(
        template_id=str(uuid7()), variables={"client": "Acme"}, time_zone="Europe/Berlin"
    )
    run = await world.ended(
        schedules_pb2.Action(
            task=schedules_pb2.TaskAction(instantiate=use), retry=schedules_pb2.RetryPolicy(first_delay_s=1)
        )
    )
    assert (run.status, run.attempts, run.task_id) == (schedules_pb2.RUN_STATUS_SUCCEEDED, 2, use.template_id)
    assert [request.request_id for _, request in world.templates.calls] == [run.id, run.id]
    caller, request = world.templates.calls[0]
    assert (request.id, dict(request.variables)) == (use.template_id, {"client": "Acme"})
    assert (request.time_zone, request.HasField("project_id")) == ("Europe/Berlin", False)
    assert caller is not None
    assert caller.user_id == world.owner.id


async def test_the_action_task_creates_one_task_under_the_runs_id(world: World) -> None:
    create = schedules_pb2.CreateTaskAction(title="Water the basil")
    run = await world.ended(schedules_pb2.Action(task=schedules_pb2.TaskAction(create=create)))
    (task,) = world.tasks.tasks.values()
    assert (run.task_id, task.title, list(world.tasks.tasks)) == (task.id, "Water the basil", [run.id])


async def test_members_are_notified_by_an_event_of_the_run(world: World) -> None:
    notify = schedules_pb2.NotifyAction(user_ids=[str(world.viewer.id)], title="Market", body="It is tomorrow.")
    run = await world.ended(schedules_pb2.Action(notify=notify))
    assert run.status == schedules_pb2.RUN_STATUS_SUCCEEDED
    event = await world.next_event("run.notified")
    assert (event.workspace_id, event.data.run_id) == (world.owner.workspace_id, run.id)
    assert (list(event.data.user_ids), event.data.title, event.data.body) == (
        [str(world.viewer.id)],
        "Market",
        "It is tomorrow.",
    )


async def test_nobody_is_notified_when_one_of_them_is_no_member(world: World) -> None:
    stranger = world.user()
    notify = schedules_pb2.NotifyAction(user_ids=[str(world.viewer.id), str(stranger.id)], title="Market")
    run = await world.ended(schedules_pb2.Action(notify=notify))
    assert (run.status, run.attempts) == (schedules_pb2.RUN_STATUS_FAILED, 1)
    assert str(stranger.id) in run.error
    assert str(world.viewer.id) not in run.error


async def test_an_event_of_ones_own_is_published(world: World) -> None:
    action = schedules_pb2.Action(event=schedules_pb2.EventAction(type="plants.thirsty"))
    action.event.data.update({"plants": ["basil"], "days": 3})
    run = await world.ended(action)
    event = await world.next_event("custom.published")
    assert (event.data.name, event.data.run_id) == ("custom.plants.thirsty", run.id)
    assert dict(event.data.data) == dict(action.event.data)


async def test_secrets_of_an_action_are_neither_read_nor_published(world: World) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    header = schedules_pb2.HttpHeader(name="authorization", value="Bearer hidden", sensitive=True)
    call = schedules_pb2.HttpAction(url="https://example.com/", headers=[header], signing_secret=secret)
    schedule = await world.create(interval_s=3600, action=schedules_pb2.Action(http=call))
    event = await world.next_event("schedule.created")
    read = schedules_pb2.GetScheduleRequest(id=schedule.id)
    got = (await world.stub.GetSchedule(read, metadata=world.viewer.metadata)).schedule
    for shown in (schedule, event.data.schedule, got):
        assert "hidden" not in str(shown)
        assert secret not in str(shown)
    update = schedules_pb2.UpdateScheduleRequest(id=schedule.id, action=schedule.action)
    update.update_mask.paths.append("action")
    with pytest.raises(InvalidArgument):
        await world.stub.UpdateSchedule(update, metadata=world.owner.metadata)


_TASK_ID = "018f0000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    "action",
    [
        schedules_pb2.Action(),
        schedules_pb2.Action(task=schedules_pb2.TaskAction()),
        schedules_pb2.Action(
            task=schedules_pb2.TaskAction(transition=schedules_pb2.TransitionTaskAction(task_id=_TASK_ID))
        ),
        schedules_pb2.Action(
            task=schedules_pb2.TaskAction(comment=schedules_pb2.CommentTaskAction(task_id=_TASK_ID, body=" "))
        ),
        schedules_pb2.Action(task=schedules_pb2.TaskAction(complete=schedules_pb2.CompleteTaskAction(task_id="no id"))),
        schedules_pb2.Action(notify=schedules_pb2.NotifyAction(title="To nobody")),
        schedules_pb2.Action(event=schedules_pb2.EventAction(type="Not So")),
        schedules_pb2.Action(event=schedules_pb2.EventAction(type="a"), timeout_s=301),
        schedules_pb2.Action(
            event=schedules_pb2.EventAction(type="a"), retry=schedules_pb2.RetryPolicy(retry_on=["sometimes"])
        ),
        schedules_pb2.Action(
            event=schedules_pb2.EventAction(type="a"), retry=schedules_pb2.RetryPolicy(max_attempts=21)
        ),
        schedules_pb2.Action(
            http=schedules_pb2.HttpAction(
                url="https://example.com/", headers=[schedules_pb2.HttpHeader(name="a", value="b\r\nc: d")]
            )
        ),
        schedules_pb2.Action(http=schedules_pb2.HttpAction(url="https://example.com/", success=["2xx"])),
    ],
    ids=[
        "none",
        "no-kind",
        "no-status",
        "blank-comment",
        "no-id",
        "nobody",
        "type",
        "timeout",
        "retry-on",
        "attempts",
        "header",
        "success",
    ],
)
async def test_an_action_that_will_not_do_is_refused(world: World, action: schedules_pb2.Action) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await world.create(interval_s=3600, action=action)
    assert caught.value.violations
