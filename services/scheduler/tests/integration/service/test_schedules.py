"""Schedules, through their RPCs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rota.scheduler.v1 import schedules_pb2
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, PreconditionFailed
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from conftest import World


TASK_ACTION = schedules_pb2.Action(create_task=schedules_pb2.CreateTaskAction(title="Water the plants"))


async def test_a_schedule_is_created_read_listed_and_deleted(world: World) -> None:
    schedule = await world.create(cron="30 8 * * 1-5", timezone="Europe/Warsaw")
    assert schedule.next_fire_at.ToDatetime(tzinfo=UTC) > datetime.now(UTC)
    assert (schedule.version, schedule.etag, schedule.timezone) == (1, '"v1"', "Europe/Warsaw")
    assert (await world.next_event("schedule.created")).data.schedule == schedule
    owner, viewer = world.owner.metadata, world.viewer.metadata
    get = schedules_pb2.GetScheduleRequest(id=schedule.id)
    assert (await world.stub.GetSchedule(get, metadata=owner)).schedule == schedule
    assert (await world.stub.GetSchedule(get, metadata=viewer)).schedule == schedule
    delete = schedules_pb2.DeleteScheduleRequest(id=schedule.id)
    with pytest.raises(PermissionDenied):
        await world.stub.DeleteSchedule(delete, metadata=viewer)
    await world.stub.DeleteSchedule(delete, metadata=owner)
    with pytest.raises(NotFound) as caught:
        await world.stub.GetSchedule(get, metadata=owner)
    assert caught.value.code == "SCHEDULE_NOT_FOUND"
    assert (await world.next_event("schedule.deleted")).data.schedule == schedule


async def test_lists_come_in_pages_newest_first(world: World) -> None:
    made = [(await world.create(interval_s=3600, name=f"Plants {number}")).id for number in range(5)]
    token, found = "", []
    while True:
        request = schedules_pb2.ListSchedulesRequest(page_size=2, page_token=token)
        answer = await world.stub.ListSchedules(request, metadata=world.owner.metadata)
        found += [schedule.id for schedule in answer.schedules]
        if not (token := answer.next_page_token):
            break
    assert found == made[::-1]


async def test_runs_come_in_pages_newest_first(world: World) -> None:
    schedule = await world.create(interval_s=1)

    async def at_least_three() -> bool:
        return len((await world.runs(schedule)).runs) >= 3

    await eventually(at_least_three)
    first = await world.runs(schedule, page_size=1)
    second = await world.runs(schedule, page_size=1, page_token=first.next_page_token)
    newer, older = (page.runs[0].nominal_time.ToDatetime() for page in (first, second))
    assert newer - older == timedelta(seconds=1)


async def test_another_users_schedule_does_not_exist(world: World) -> None:
    schedule, stranger = await world.create(interval_s=3600), world.user()
    for call in (
        world.stub.GetSchedule(schedules_pb2.GetScheduleRequest(id=schedule.id), metadata=stranger.metadata),
        world.stub.DeleteSchedule(schedules_pb2.DeleteScheduleRequest(id=schedule.id), metadata=stranger.metadata),
        world.stub.ListRuns(schedules_pb2.ListRunsRequest(schedule_id=schedule.id), metadata=stranger.metadata),
        world.create(stranger, interval_s=60, workspace_id=schedule.workspace_id),
    ):
        with pytest.raises(NotFound):
            await call
    listed = await world.stub.ListSchedules(schedules_pb2.ListSchedulesRequest(), metadata=stranger.metadata)
    assert not listed.schedules


async def test_a_viewer_may_not_create_a_schedule(world: World) -> None:
    with pytest.raises(PermissionDenied) as caught:
        await world.create(world.viewer, interval_s=60, workspace_id=str(world.owner.workspace_id))
    assert caught.value.code == "WORKSPACE_ROLE_REQUIRED"


async def test_a_spec_is_kept_as_it_was_said_with_its_policies_in_the_answer(world: World) -> None:
    spec = schedules_pb2.ScheduleSpec(
        rrule="FREQ=MONTHLY;BYDAY=-1FR", dtstart="2026-01-30T09:00", exclude=["2027-12-31"]
    )
    schedule = await world.create(spec=spec, timezone="Europe/Warsaw", dst_fold=schedules_pb2.DST_FOLD_LAST)
    assert (schedule.spec, schedule.HasField("cron")) == (spec, False)
    assert (schedule.dst_gap, schedule.dst_fold) == (schedules_pb2.DST_GAP_GAP_END, schedules_pb2.DST_FOLD_LAST)
    assert schedule.next_fire_at.ToDatetime(tzinfo=UTC) > datetime.now(UTC)
    get = schedules_pb2.GetScheduleRequest(id=schedule.id)
    assert (await world.stub.GetSchedule(get, metadata=world.owner.metadata)).schedule == schedule


async def test_how_a_schedule_is_attempted_may_be_said_beside_its_action(world: World) -> None:
    retry = schedules_pb2.RetryPolicy(max_attempts=3, retry_on=["409"])
    schedule = await world.create(interval_s=3600, retry=retry, timeout_s=20)
    assert (schedule.retry, schedule.timeout_s) == (retry, 20)
    assert (schedule.action.retry, schedule.action.timeout_s) == (retry, 20)
    action = schedules_pb2.Action(create_task=TASK_ACTION.create_task, timeout_s=5)
    inner = await world.create(interval_s=3600, action=action, retry=retry, timeout_s=20)
    assert (inner.action.timeout_s, inner.timeout_s, inner.retry) == (5, 5, retry)
    update = schedules_pb2.UpdateScheduleRequest(id=schedule.id, timeout_s=30, update_mask={"paths": ["timeout_s"]})
    changed = (await world.stub.UpdateSchedule(update, metadata=world.owner.metadata)).schedule
    assert (changed.action.timeout_s, changed.action.retry, changed.version) == (30, retry, 2)
    assert changed.action.create_task == TASK_ACTION.create_task
    update = schedules_pb2.UpdateScheduleRequest(id=schedule.id, update_mask={"paths": ["retry", "timeout_s"]})
    changed = (await world.stub.UpdateSchedule(update, metadata=world.owner.metadata)).schedule
    assert [changed.HasField("retry"), changed.action.HasField("timeout_s")] == [False, False]
    wrong = schedules_pb2.RetryPolicy(retry_on=["500-400"])
    update = schedules_pb2.UpdateScheduleRequest(id=schedule.id, retry=wrong, update_mask={"paths": ["retry"]})
    with pytest.raises(InvalidArgument) as caught:
        await world.stub.UpdateSchedule(update, metadata=world.owner.metadata)
    assert caught.value.code == "INVALID_FIELDS"


async def test_a_preview_shows_local_time_instant_and_what_is_peculiar(world: World) -> None:
    start = datetime(2026, 10, 24, 12, tzinfo=UTC)
    request = schedules_pb2.PreviewSpecRequest(
        spec=schedules_pb2.ScheduleSpec(cron="30 2 * * *"),
        timezone="Europe/Warsaw",
        dst_fold=schedules_pb2.DST_FOLD_BOTH,
        count=3,
        **{"from": start},  # type: ignore[arg-type]
    )
    times = (await world.stub.PreviewSpec(request, metadata=world.viewer.metadata)).times
    assert [(time.local, time.offset, time.note) for time in times] == [
        ("2026-10-25T02:30:00+02:00", "+02:00", schedules_pb2.TIME_NOTE_FOLD),
        ("2026-10-25T02:30:00+01:00", "+01:00", schedules_pb2.TIME_NOTE_FOLD),
        ("2026-10-26T02:30:00+01:00", "+01:00", schedules_pb2.TIME_NOTE_UNSPECIFIED),
    ]
    assert times[0].utc.ToDatetime() == datetime(2026, 10, 25, 0, 30)  # noqa: DTZ001 (naive as protobuf gives it)


async def test_a_schedule_shows_its_next_times(world: World) -> None:
    schedule = await world.create(spec=schedules_pb2.ScheduleSpec(cron="H H * * *"))
    request = schedules_pb2.PreviewScheduleRequest(id=schedule.id)
    times = (await world.stub.PreviewSchedule(request, metadata=world.viewer.metadata)).times
    assert (len(times), times[0].utc) == (10, schedule.next_fire_at)


async def test_a_patch_changes_what_it_names_and_guards_against_a_lost_update(world: World) -> None:
    schedule = await world.create(interval_s=3600, jitter_s=5)
    request = schedules_pb2.UpdateScheduleRequest(id=schedule.id, cron="0 0 1 1 *", name="New Year", if_match='"v1"')
    request.update_mask.paths.extend(["cron", "name", "jitter_s"])
    changed = (await world.stub.UpdateSchedule(request, metadata=world.owner.metadata)).schedule
    assert (changed.cron, changed.HasField("interval_s"), changed.name) == ("0 0 1 1 *", False, "New Year")
    assert (changed.jitter_s, changed.version, changed.action) == (0, 2, schedule.action)
    assert changed.next_fire_at.ToDatetime().strftime("%m-%d") == "01-01"
    assert (await world.next_event("schedule.updated")).data.schedule == changed
    with pytest.raises(PreconditionFailed):
        await world.stub.UpdateSchedule(request, metadata=world.owner.metadata)
    request.if_match = ""
    again = (await world.stub.UpdateSchedule(request, metadata=world.owner.metadata)).schedule
    assert again == changed
    with pytest.raises(PermissionDenied):
        await world.stub.UpdateSchedule(request, metadata=world.viewer.metadata)
    request.ClearField("name")
    with pytest.raises(InvalidArgument):
        await world.stub.UpdateSchedule(request, metadata=world.owner.metadata)


async def test_priority_and_concurrency_key_are_kept_and_null_makes_them_what_they_are_by_default(world: World) -> None:
    named = {"priority": -7, "concurrency_key": "oven", "concurrency_limit": 2}
    schedule = await world.create(interval_s=3600, **named)
    assert {name: getattr(schedule, name) for name in named} == named
    start = schedules_pb2.RunScheduleRequest(id=schedule.id)
    assert (await world.stub.RunSchedule(start, metadata=world.owner.metadata)).run.priority == -7
    request = schedules_pb2.UpdateScheduleRequest(id=schedule.id)
    request.update_mask.paths.extend(named)
    changed = (await world.stub.UpdateSchedule(request, metadata=world.owner.metadata)).schedule
    assert (changed.priority, changed.HasField("concurrency_key"), changed.concurrency_limit) == (0, False, 1)


async def test_a_schedule_is_paused_with_a_note_and_resumed(world: World) -> None:
    schedule, owner = await world.create(interval_s=1), world.owner.metadata
    pause = schedules_pb2.PauseScheduleRequest(id=schedule.id, note="Holidays")
    paused = (await world.stub.PauseSchedule(pause, metadata=owner)).schedule
    assert (paused.paused, paused.pause_note, paused.HasField("next_fire_at")) == (True, "Holidays", False)
    assert (await world.stub.PauseSchedule(pause, metadata=owner)).schedule == paused
    assert (await world.next_event("schedule.paused")).data.schedule == paused

    async def skipped() -> list[Any]:
        request = schedules_pb2.ListLedgerRequest(id=schedule.id)
        entries = (await world.stub.ListLedger(request, metadata=world.viewer.metadata)).entries
        return [entry for entry in entries if entry.reason == schedules_pb2.SKIP_REASON_PAUSED]

    assert (await eventually(skipped))[0].outcome == schedules_pb2.LEDGER_OUTCOME_SKIPPED
    resume = schedules_pb2.ResumeScheduleRequest(id=schedule.id)
    resumed = (await world.stub.ResumeSchedule(resume, metadata=owner)).schedule
    assert (resumed.paused, resumed.HasField("pause_note"), resumed.version) == (False, False, 3)
    assert (await world.stub.ResumeSchedule(resume, metadata=owner)).schedule.version == resumed.version
    for call, request in ((world.stub.PauseSchedule, pause), (world.stub.ResumeSchedule, resume)):
        with pytest.raises(PermissionDenied):
            await call(request, metadata=world.viewer.metadata)


async def test_a_run_started_by_hand_is_one_run_however_often_it_is_asked_for(world: World) -> None:
    schedule = await world.create(interval_s=3600)
    request = schedules_pb2.RunScheduleRequest(id=schedule.id, request_id="once")
    calls = [world.stub.RunSchedule(request, metadata=world.owner.metadata) for _ in range(3)]
    assert len({(await call).run.id for call in calls}) == 1
    request.request_id = ""
    other = (await world.stub.RunSchedule(request, metadata=world.owner.metadata)).run
    assert other.manual

    async def both_ended() -> bool:
        runs = (await world.runs(schedule)).runs
        return len(runs) == 2 and all(run.status == schedules_pb2.RUN_STATUS_SUCCEEDED for run in runs)

    await eventually(both_ended, timeout_s=10)
    ledger = schedules_pb2.ListLedgerRequest(id=schedule.id)
    assert not (await world.stub.ListLedger(ledger, metadata=world.owner.metadata)).entries


async def test_a_past_range_is_backfilled_once_however_often_it_is_asked_for(world: World) -> None:
    schedule = await world.create(spec=schedules_pb2.ScheduleSpec(every_s=3600))
    start = schedule.next_fire_at.ToDatetime(tzinfo=UTC) - timedelta(hours=6)
    request = _backfill(schedule, start, start + timedelta(hours=5), dry_run=True)
    owner = world.owner.metadata
    planned = await world.stub.BackfillSchedule(request, metadata=owner)
    assert (planned.nominal_times, planned.started) == (5, 5)
    assert not (await world.runs(schedule)).runs
    request.dry_run = False
    answers = [await call for call in [world.stub.BackfillSchedule(request, metadata=owner) for _ in range(3)]]
    assert sorted(answer.started for answer in answers) == [0, 0, 5]

    async def all_ended() -> bool:
        runs = (await world.runs(schedule)).runs
        return [run.status for run in runs] == [schedules_pb2.RUN_STATUS_SUCCEEDED] * 5

    await eventually(all_ended, timeout_s=20)
    ledger = schedules_pb2.ListLedgerRequest(id=schedule.id)
    entries = (await world.stub.ListLedger(ledger, metadata=owner)).entries
    assert [entry.nominal_time.ToDatetime(tzinfo=UTC) for entry in entries] == [
        start + timedelta(hours=hours) for hours in range(5)
    ]
    assert {(entry.outcome, entry.backfilled) for entry in entries} == {(schedules_pb2.LEDGER_OUTCOME_RAN, True)}


async def test_only_those_who_may_write_backfill_a_schedule(world: World) -> None:
    schedule = await world.create(interval_s=3600)
    request = _backfill(schedule, datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC))
    with pytest.raises(PermissionDenied):
        await world.stub.BackfillSchedule(request, metadata=world.viewer.metadata)
    with pytest.raises(NotFound):
        await world.stub.BackfillSchedule(request, metadata=world.user().metadata)


@pytest.mark.parametrize(
    ("from_s", "to_s", "fields", "code"),
    [
        (-10, -20, {}, "INVALID_BACKFILL"),
        (-10, -10, {}, "INVALID_BACKFILL"),
        (-10, 60, {}, "INVALID_BACKFILL"),
        (-10_100, -1, {}, "INVALID_BACKFILL"),
        (-20, -10, {"overlap": schedules_pb2.OVERLAP_SKIP}, "INVALID_FIELDS"),
        (-20, -10, {"id": "plants"}, "INVALID_FIELDS"),
    ],
)
async def test_refuses_to_backfill_a_range_that_makes_no_sense(
    world: World, from_s: int, to_s: int, fields: dict[str, Any], code: str
) -> None:
    schedule, now = await world.create(spec=schedules_pb2.ScheduleSpec(every_s=1)), datetime.now(UTC)
    request = _backfill(schedule, now + timedelta(seconds=from_s), now + timedelta(seconds=to_s), **fields)
    with pytest.raises(InvalidArgument) as caught:
        await world.stub.BackfillSchedule(request, metadata=world.owner.metadata)
    assert caught.value.code == code


def _backfill(
    schedule: schedules_pb2.Schedule, start: datetime, end: datetime, **fields: Any
) -> schedules_pb2.BackfillScheduleRequest:
    return schedules_pb2.BackfillScheduleRequest(**{"id": schedule.id, "from": start, "to": end} | fields)


async def test_putting_a_schedule_by_name_twice_at_once_makes_one(world: World) -> None:
    request = schedules_pb2.PutScheduleRequest(name="nightly", cron="0 3 * * *", action=TASK_ACTION)
    calls = [world.stub.PutSchedule(request, metadata=world.owner.metadata) for _ in range(4)]
    (schedule,) = {answer.schedule.id: answer.schedule for answer in [await call for call in calls]}.values()
    assert schedule.version == 1
    request.cron = "0 4 * * *"
    request.overlap = schedules_pb2.OVERLAP_SKIP
    changed = (await world.stub.PutSchedule(request, metadata=world.owner.metadata)).schedule
    assert (changed.id, changed.cron, changed.version) == (schedule.id, "0 4 * * *", 2)
    await world.create(name="nightly", interval_s=60)
    with pytest.raises(Conflict) as caught:
        await world.stub.PutSchedule(request, metadata=world.owner.metadata)
    assert caught.value.code == "SCHEDULE_NAME_AMBIGUOUS"


async def test_the_ledger_comes_in_pages_oldest_first(world: World) -> None:
    schedule = await world.create(interval_s=1)
    request = schedules_pb2.ListLedgerRequest(id=schedule.id, page_size=1)

    async def two_ran() -> list[Any]:
        found: list[Any] = []
        request.page_token = ""
        while len(found) < 2:
            answer = await world.stub.ListLedger(request, metadata=world.owner.metadata)
            found += answer.entries
            if not (token := answer.next_page_token):
                break
            request.page_token = token
        return found if [entry.outcome for entry in found] == [schedules_pb2.LEDGER_OUTCOME_RAN] * 2 else []

    older, newer = await eventually(two_ran, timeout_s=10)
    assert newer.nominal_time.ToDatetime() - older.nominal_time.ToDatetime() == timedelta(seconds=1)
    assert 0 <= older.lateness_ms < 1000
    assert older.run_id in {run.id for run in (await world.runs(schedule)).runs}


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"cron": "0 0 30 2 *"}, "SCHEDULE_NEVER_FIRES", "cron"),
        ({"cron": "never"}, "INVALID_CRON", "cron"),
        ({"cron": "0 0 * * *", "timezone": "Mars/Olympus"}, "UNKNOWN_TIME_ZONE", "timezone"),
        ({"cron": "0 0 * * *", "interval_s": 5}, "INVALID_FIELDS", ""),
        ({"spec": schedules_pb2.ScheduleSpec(rrule="FREQ=NEVER")}, "INVALID_RRULE", "spec.rrule"),
        ({"interval_s": 5, "priority": 101}, "INVALID_FIELDS", "priority"),
        ({"interval_s": 5, "priority": -101}, "INVALID_FIELDS", "priority"),
        ({"interval_s": 5, "concurrency_key": ""}, "INVALID_FIELDS", "concurrency_key"),
        ({"interval_s": 5, "concurrency_limit": 0}, "INVALID_FIELDS", "concurrency_limit"),
        ({"spec": schedules_pb2.ScheduleSpec(cron="0 0 * * *", every_s=5)}, "INVALID_FIELDS", "spec"),
        (
            {
                "interval_s": 5,
                "action": schedules_pb2.Action(http=schedules_pb2.HttpAction(url="http://169.254.169.254/latest")),
            },
            "ADDRESS_NOT_ALLOWED",
            "action.http.url",
        ),
    ],
)
async def test_refuses_a_schedule_that_makes_no_sense(
    world: World, fields: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await world.create(**fields)
    assert caught.value.code == code
    assert [violation.field for violation in caught.value.violations] == [field]
    listed = await world.stub.ListSchedules(schedules_pb2.ListSchedulesRequest(), metadata=world.owner.metadata)
    assert not listed.schedules
