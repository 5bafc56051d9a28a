"""The whole scheduler: events and RPCs in, events and actions out."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import nats
import orjson
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from nats.js.api import ConsumerConfig, DeliverPolicy
from rota.scheduler.v1 import schedules_pb2, schedules_pb2_grpc
from rota.tasks.v1 import comments_pb2, comments_pb2_grpc, tasks_pb2, tasks_pb2_grpc, templates_pb2, templates_pb2_grpc
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, PreconditionFailed, Unavailable
from rota_chassis.events import envelope
from rota_chassis.events.stream import EVENTS_STREAM
from rota_chassis.events.types import event_types
from rota_chassis.identity import current_principal
from rota_chassis.ids import uuid7
from rota_chassis.rpc.server import RpcServer
from rota_chassis.settings import DEVELOPMENT_SECRET
from rota_chassis.testing.auth import SmallAuth, small_auth
from rota_chassis.testing.services import User, running
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import TokenVerifier
from rota_scheduler.bootstrap import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_chassis.identity import Principal
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer


TASK_ACTION = schedules_pb2.Action(create_task=schedules_pb2.CreateTaskAction(title="Water the plants"))


class Tasks(tasks_pb2_grpc.TaskServiceServicer):
    """Makes one task for each request id; loses its first answer."""

    def __init__(self) -> None:
        self.tasks: dict[str, tasks_pb2.Task] = {}
        self.calls: list[tuple[Principal | None, tasks_pb2.CreateTaskRequest]] = []
        self.changes: list[tuple[Principal | None, Any]] = []

    async def CreateTask(  # noqa: N802 (named by the contract)
        self, request: tasks_pb2.CreateTaskRequest, _context: Any
    ) -> tasks_pb2.CreateTaskResponse:
        self.calls.append((current_principal(), request))
        task = self.tasks.setdefault(request.request_id, tasks_pb2.Task(id=str(uuid7()), title=request.title))
        if len(self.calls) == 1:
            raise Unavailable("The answer got lost.")
        return tasks_pb2.CreateTaskResponse(task=task)

    async def UpdateTask(  # noqa: N802 (named by the contract)
        self, request: tasks_pb2.UpdateTaskRequest, _context: Any
    ) -> tasks_pb2.UpdateTaskResponse:
        self.changes.append((current_principal(), request))
        return tasks_pb2.UpdateTaskResponse()

    async def CompleteTask(  # noqa: N802 (named by the contract)
        self, request: tasks_pb2.CompleteTaskRequest, _context: Any
    ) -> tasks_pb2.CompleteTaskResponse:
        self.changes.append((current_principal(), request))
        raise NotFound("There is no such task.", code="TASK_NOT_FOUND")

    async def AssignTask(  # noqa: N802 (named by the contract)
        self, request: tasks_pb2.AssignTaskRequest, _context: Any
    ) -> tasks_pb2.AssignTaskResponse:
        self.changes.append((current_principal(), request))
        return tasks_pb2.AssignTaskResponse()


class Comments(comments_pb2_grpc.CommentServiceServicer):
    """Takes note of what is said; loses its first answer."""

    def __init__(self) -> None:
        self.calls: list[comments_pb2.CreateCommentRequest] = []

    async def CreateComment(  # noqa: N802 (named by the contract)
        self, request: comments_pb2.CreateCommentRequest, _context: Any
    ) -> comments_pb2.CreateCommentResponse:
        self.calls.append(request)
        if len(self.calls) == 1:
            raise Unavailable("The answer got lost.")
        return comments_pb2.CreateCommentResponse()


class Templates(templates_pb2_grpc.TemplateServiceServicer):
    """Uses a template once for each request id; loses its first answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[Principal | None, templates_pb2.InstantiateTemplateRequest]] = []

    async def InstantiateTemplate(  # noqa: N802 (named by the contract)
        self, request: templates_pb2.InstantiateTemplateRequest, _context: Any
    ) -> templates_pb2.InstantiateTemplateResponse:
        self.calls.append((current_principal(), request))
        if len(self.calls) == 1:
            raise Unavailable("The answer got lost.")
        return templates_pb2.InstantiateTemplateResponse(task=tasks_pb2.Task(id=request.id))


class World:
    """A scheduler with its neighbours, and two users: an owner, and a viewer of the owner's workspace."""

    def __init__(self, issuer: TokenIssuer, auth: SmallAuth) -> None:
        self.issuer = issuer
        self.auth = auth
        self.tasks = Tasks()
        self.comments = Comments()
        self.templates = Templates()
        self.owner = self.user()
        self.viewer = self.user()
        self.auth.add_member(self.owner.workspace_id, self.viewer.id, role="viewer")
        self.stub: Any = None
        self.nats: Any = None

    def user(self) -> User:
        """A new user, who owns their workspace."""
        user = User(self.issuer)
        self.auth.add_user(user)
        return user

    async def create(self, user: User | None = None, **fields: Any) -> schedules_pb2.Schedule:
        """A schedule as its creator gets it."""
        request = schedules_pb2.CreateScheduleRequest(**{"name": "Plants", "action": TASK_ACTION} | fields)
        answer = await self.stub.CreateSchedule(request, metadata=(user or self.owner).metadata)
        return answer.schedule

    async def runs(self, schedule: schedules_pb2.Schedule, **fields: Any) -> schedules_pb2.ListRunsResponse:
        """Runs of a schedule of the owner."""
        request = schedules_pb2.ListRunsRequest(schedule_id=schedule.id, **fields)
        return await self.stub.ListRuns(request, metadata=self.owner.metadata)

    async def publish_task(self, task: tasks_pb2.Task) -> None:
        """Publish `task.created` as the tasks service would."""
        kind = event_types()["task.created"]
        row = {
            "id": uuid7(),
            "type": kind.name,
            "workspace_id": task.workspace_id,
            "aggregate_id": task.id,
            "aggregate_version": 1,
            "actor": "system",
            "time": datetime.now(UTC),
            "traceparent": None,
        }
        await self.nats.jetstream().publish(
            envelope.subject(task.workspace_id, kind.name),
            orjson.dumps(kind.encode(kind.message(task=task))),  # type: ignore[call-arg]
            headers=envelope.headers(row, "/rota/tasks"),
        )


@asynccontextmanager
async def serving(tasks: Tasks, comments: Comments, templates: Templates, issuer: TokenIssuer) -> AsyncIterator[str]:
    """The tasks service behind the chassis's own pipeline; yields its address."""
    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        server = RpcServer(TokenVerifier(issuer.keys, DEVELOPMENT_SECRET))
        server.add(tasks_pb2_grpc.add_TaskServiceServicer_to_server, tasks)
        server.add(comments_pb2_grpc.add_CommentServiceServicer_to_server, comments)
        server.add(templates_pb2_grpc.add_TemplateServiceServicer_to_server, templates)
        await server.start(f"unix:{folder}/tasks.sock")
        try:
            yield f"unix:{folder}/tasks.sock"
        finally:
            await server.stop(0)


@pytest.fixture
async def world(
    make_database: MakeDatabase, postgres_url: str, redis_url: str, fresh_nats_url: str, issuer: TokenIssuer
) -> AsyncIterator[World]:
    """Everything, running."""
    async with AsyncExitStack() as stack:
        world = World(issuer, await stack.enter_async_context(small_auth()))
        channel = await stack.enter_async_context(
            running(
                SERVICE,
                server_url=postgres_url,
                database_url=await make_database("scheduler"),
                redis_url=redis_url,
                nats_url=fresh_nats_url,
                issuer=issuer,
                auth_address=world.auth.address,
                tasks_address=await stack.enter_async_context(
                    serving(world.tasks, world.comments, world.templates, issuer)
                ),
            )
        )
        world.stub = schedules_pb2_grpc.ScheduleServiceStub(channel)
        world.nats = await nats.connect(fresh_nats_url)
        stack.push_async_callback(world.nats.close)
        yield world


async def next_event(world: World, event_type: str) -> Any:
    """The first event of a type in the owner's workspace."""
    subscription = await world.nats.jetstream().subscribe(
        f"rota.events.v1.{world.owner.workspace_id}.{event_type}",
        stream=EVENTS_STREAM,
        ordered_consumer=True,
        config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL),
    )
    message = await subscription.next_msg(timeout=10)
    await subscription.unsubscribe()
    return envelope.parse(message.headers, message.data, 0)


async def test_a_reminder_set_two_seconds_ahead_is_published_on_time(world: World) -> None:
    remind_at = datetime.now(UTC) + timedelta(seconds=2)
    task = tasks_pb2.Task(
        id=str(uuid7()),
        workspace_id=str(world.owner.workspace_id),
        title="Water the plants",
        status=tasks_pb2.TASK_STATUS_TODO,
        created_by=str(world.owner.id),
    )
    task.remind_at.FromDatetime(remind_at)
    task.created_at.FromDatetime(datetime.now(UTC))
    await world.publish_task(task)
    fired = await next_event(world, "reminder.fired")
    assert fired.data.task_id == task.id
    assert list(fired.data.recipient_ids) == [str(world.owner.id)]
    assert timedelta(0) <= fired.time - remind_at < timedelta(seconds=0.5)


async def test_a_schedule_creates_a_task_for_its_creator_once_though_the_first_answer_gets_lost(
    world: World,
) -> None:
    schedule = await world.create(at=_timestamp(datetime.now(UTC)))

    async def finished() -> Any:
        return [run for run in (await world.runs(schedule)).runs if run.HasField("finished_at")]

    (run,) = await eventually(finished)
    assert run.status == schedules_pb2.RUN_STATUS_SUCCEEDED
    assert run.attempts == 2
    assert [task.id for task in world.tasks.tasks.values()] == [run.task_id]
    principal, request = world.tasks.calls[-1]
    assert principal is not None
    assert (principal.user_id, principal.service) == (world.owner.id, "scheduler")
    assert (request.request_id, request.workspace_id) == (run.id, schedule.workspace_id)
    event = await next_event(world, "run.finished")
    assert event.data.run == run


async def test_a_schedule_is_created_read_listed_and_deleted(world: World) -> None:
    schedule = await world.create(cron="30 8 * * 1-5", timezone="Europe/Warsaw")
    assert schedule.next_fire_at.ToDatetime(tzinfo=UTC) > datetime.now(UTC)
    assert (schedule.version, schedule.etag, schedule.timezone) == (1, '"v1"', "Europe/Warsaw")
    assert (await next_event(world, "schedule.created")).data.schedule == schedule
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
    assert (await next_event(world, "schedule.deleted")).data.schedule == schedule


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
    assert (await next_event(world, "schedule.updated")).data.schedule == changed
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
    assert (await next_event(world, "schedule.paused")).data.schedule == paused

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
    return schedules_pb2.BackfillScheduleRequest(
        **{"id": schedule.id, "from": _timestamp(start), "to": _timestamp(end)} | fields
    )


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


async def ended(world: World, action: schedules_pb2.Action) -> schedules_pb2.Run:
    """The run of a schedule of the owner that fires once, now."""
    schedule = await world.create(at=_timestamp(datetime.now(UTC)), action=action)

    async def finished() -> Any:
        return [run for run in (await world.runs(schedule)).runs if run.HasField("finished_at")]

    (run,) = await eventually(finished)
    return run


async def test_a_task_is_moved_and_assigned_on_behalf_of_the_creator(world: World) -> None:
    task_id, someone = str(uuid7()), str(uuid7())
    for action in (
        schedules_pb2.TaskAction(
            transition=schedules_pb2.TransitionTaskAction(task_id=task_id, status=tasks_pb2.TASK_STATUS_DONE)
        ),
        schedules_pb2.TaskAction(assign=schedules_pb2.AssignTaskAction(task_id=task_id, assignee_id=someone)),
    ):
        run = await ended(world, schedules_pb2.Action(task=action))
        assert (run.status, run.task_id) == (schedules_pb2.RUN_STATUS_SUCCEEDED, task_id)
    (moved, assigned) = (request for _, request in world.tasks.changes)
    assert (moved.id, moved.status, list(moved.update_mask.paths)) == (task_id, tasks_pb2.TASK_STATUS_DONE, ["status"])
    assert (assigned.id, assigned.assignee_id) == (task_id, someone)
    assert {principal.user_id for principal, _ in world.tasks.changes if principal} == {world.owner.id}


async def test_a_task_that_the_creator_does_not_see_fails_the_run_at_once(world: World) -> None:
    complete = schedules_pb2.CompleteTaskAction(task_id=str(uuid7()))
    run = await ended(world, schedules_pb2.Action(task=schedules_pb2.TaskAction(complete=complete)))
    assert (run.status, run.attempts) == (schedules_pb2.RUN_STATUS_FAILED, 1)
    assert run.error.startswith("TASK_NOT_FOUND")


async def test_a_comment_is_repeated_under_one_request_id(world: World) -> None:
    comment = schedules_pb2.CommentTaskAction(task_id=str(uuid7()), body="Still open?")
    run = await ended(
        world,
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
    run = await ended(
        world,
        schedules_pb2.Action(
            task=schedules_pb2.TaskAction(instantiate=use), retry=schedules_pb2.RetryPolicy(first_delay_s=1)
        ),
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
    run = await ended(world, schedules_pb2.Action(task=schedules_pb2.TaskAction(create=create)))
    (task,) = world.tasks.tasks.values()
    assert (run.task_id, task.title, list(world.tasks.tasks)) == (task.id, "Water the basil", [run.id])


async def test_members_are_notified_by_an_event_of_the_run(world: World) -> None:
    notify = schedules_pb2.NotifyAction(user_ids=[str(world.viewer.id)], title="Market", body="It is tomorrow.")
    run = await ended(world, schedules_pb2.Action(notify=notify))
    assert run.status == schedules_pb2.RUN_STATUS_SUCCEEDED
    event = await next_event(world, "run.notified")
    assert (event.workspace_id, event.data.run_id) == (world.owner.workspace_id, run.id)
    assert (list(event.data.user_ids), event.data.title, event.data.body) == (
        [str(world.viewer.id)],
        "Market",
        "It is tomorrow.",
    )


async def test_nobody_is_notified_when_one_of_them_is_no_member(world: World) -> None:
    stranger = world.user()
    notify = schedules_pb2.NotifyAction(user_ids=[str(world.viewer.id), str(stranger.id)], title="Market")
    run = await ended(world, schedules_pb2.Action(notify=notify))
    assert (run.status, run.attempts) == (schedules_pb2.RUN_STATUS_FAILED, 1)
    assert str(stranger.id) in run.error
    assert str(world.viewer.id) not in run.error


async def test_an_event_of_ones_own_is_published(world: World) -> None:
    action = schedules_pb2.Action(event=schedules_pb2.EventAction(type="plants.thirsty"))
    action.event.data.update({"plants": ["basil"], "days": 3})
    run = await ended(world, action)
    event = await next_event(world, "custom.published")
    assert (event.data.name, event.data.run_id) == ("custom.plants.thirsty", run.id)
    assert dict(event.data.data) == dict(action.event.data)


async def test_secrets_of_an_action_are_neither_read_nor_published(world: World) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    header = schedules_pb2.HttpHeader(name="authorization", value="Bearer hidden", sensitive=True)
    call = schedules_pb2.HttpAction(url="https://example.com/", headers=[header], signing_secret=secret)
    schedule = await world.create(interval_s=3600, action=schedules_pb2.Action(http=call))
    event = await next_event(world, "schedule.created")
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


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
