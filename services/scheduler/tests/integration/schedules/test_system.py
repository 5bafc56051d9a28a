"""The schedules of the system itself: made once, seen and changed by administrators, deleted by nobody."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rota.auth.v1 import auth_pb2, auth_pb2_grpc
from rota.events.v1 import events_pb2, inbox_pb2, inbox_pb2_grpc
from rota.scheduler.v1 import schedules_pb2, schedules_pb2_grpc
from rota.tasks.v1 import requests_pb2, requests_pb2_grpc, trash_pb2, trash_pb2_grpc
from rota_chassis.errors import Conflict, InvalidArgument, NotFound
from rota_chassis.identity import current_principal
from rota_chassis.ids import uuid7
from rota_chassis.postgres.statements import statement
from rota_chassis.rpc.channel import open_channel
from rota_chassis.rpc.server import RpcServer
from rota_chassis.settings import DEVELOPMENT_SECRET
from rota_chassis.testing.auth import small_auth
from rota_chassis.testing.services import User, running
from rota_chassis.testing.waiting import eventually
from rota_chassis.tokens import ServiceTokens, TokenVerifier
from rota_scheduler.actions.cleanup import CleanUp, Kept
from rota_scheduler.bootstrap import SERVICE
from rota_scheduler.runs.domain import Succeeded
from rota_scheduler.schedules.domain import SYSTEM_WORKSPACE
from rota_scheduler.schedules.system import IDS, ensure_system_schedules
from rota_scheduler.schedules.tables import SCHEDULES
from sqlalchemy import select, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer

_SCHEDULES = statement(select(SCHEDULES).order_by(SCHEDULES.c.id))
_ROW = "WITH row (workspace_id, a, b, at) AS (SELECT $1::uuid, $2::uuid, $3::uuid, $4::timestamptz) INSERT INTO "
_OLD = (
    "skips SELECT workspace_id, a, at, NULL, 'paused' FROM row",
    "rule_log SELECT workspace_id, a, b, b, 'x', at, 0, 'fired', '{}', '{}', NULL, at FROM row",
    "workflow_runs SELECT workspace_id, a, b, 1, '{}', '{}', NULL, NULL, b, at, at, 1 FROM row",
    "workflow_actions SELECT workspace_id, b, a, 'step' FROM row",
    "run_origins SELECT workspace_id, a, b, NULL, 0, at FROM row",
    "inbox SELECT workspace_id, 'scheduler', a, at FROM row",
    "run_requests SELECT workspace_id, a, 'key', '', b, at FROM row",
)
_UNENDED = "workflow_runs SELECT workspace_id, a, b, 1, '{}', '{}', NULL, NULL, b, at, NULL, 1 FROM row"
_KEPT = Kept(ledger=timedelta(days=90), rule_log=timedelta(days=30), workflow_runs=timedelta(days=60))
TRASH, SESSIONS, HISTORY = (str(each) for each in IDS)


class Neighbours(
    trash_pb2_grpc.TrashServiceServicer,
    requests_pb2_grpc.RequestServiceServicer,
    auth_pb2_grpc.AuthServiceServicer,
    inbox_pb2_grpc.InboxServiceServicer,
):
    """Tasks, auth and notifications, with something to purge.

    Attributes:
        issuer: Whose access tokens they believe.
        address: Where they listen.
    """

    def __init__(self, issuer: TokenIssuer, address: str) -> None:
        self.issuer, self.address = issuer, address
        self.trash, self.sessions, self.handled, self.requests = 2_500, 1, 2_500, 1_200
        self.callers: set[str | None] = set()

    async def PurgeTrash(  # noqa: N802 (named by the contract)
        self, request: trash_pb2.PurgeTrashRequest, _context: Any
    ) -> trash_pb2.PurgeTrashResponse:
        principal = current_principal()
        self.callers.add(principal.service if principal else None)
        purged = min(request.limit, self.trash)
        self.trash -= purged
        return trash_pb2.PurgeTrashResponse(purged=purged)

    async def PurgeSessions(  # noqa: N802 (named by the contract)
        self, request: auth_pb2.PurgeSessionsRequest, _context: Any
    ) -> auth_pb2.PurgeSessionsResponse:
        purged = min(request.limit, self.sessions)
        self.sessions -= purged
        return auth_pb2.PurgeSessionsResponse(purged=purged)

    async def ForgetHandledEvents(  # noqa: N802 (named by the contract)
        self, request: inbox_pb2.ForgetHandledEventsRequest, _context: Any
    ) -> inbox_pb2.ForgetHandledEventsResponse:
        forgotten = min(request.limit, self.handled)
        self.handled -= forgotten
        return inbox_pb2.ForgetHandledEventsResponse(forgotten=forgotten)

    async def ForgetRequests(  # noqa: N802 (named by the contract)
        self, request: requests_pb2.ForgetRequestsRequest, _context: Any
    ) -> requests_pb2.ForgetRequestsResponse:
        forgotten = min(request.limit, self.requests)
        self.requests -= forgotten
        return requests_pb2.ForgetRequestsResponse(forgotten=forgotten)


@pytest.fixture
async def neighbours(issuer: TokenIssuer) -> AsyncIterator[Neighbours]:
    """The services that clean-ups call."""
    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        found = Neighbours(issuer, f"unix:{folder}/neighbours.sock")
        server = RpcServer(TokenVerifier(issuer.keys, DEVELOPMENT_SECRET))
        server.add(trash_pb2_grpc.add_TrashServiceServicer_to_server, found)
        server.add(requests_pb2_grpc.add_RequestServiceServicer_to_server, found)
        server.add(auth_pb2_grpc.add_AuthServiceServicer_to_server, found)
        server.add(inbox_pb2_grpc.add_InboxServiceServicer_to_server, found)
        await server.start(found.address)
        try:
            yield found
        finally:
            await server.stop(0)


class World:
    """A scheduler, an administrator of the system, and a user."""

    def __init__(self, issuer: TokenIssuer) -> None:
        self.admin, self.user = User(issuer, role="admin"), User(issuer)
        self.stub: Any = None

    async def call(self, method: str, user: User, **fields: Any) -> Any:
        request = getattr(schedules_pb2, f"{method}Request")(**fields)
        return await getattr(self.stub, method)(request, metadata=user.metadata)


@pytest.fixture
async def world(
    make_database: MakeDatabase, postgres_url: str, redis_url: str, fresh_nats_url: str, neighbours: Neighbours
) -> AsyncIterator[World]:
    """Everything, running."""
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(small_auth())
        world = World(neighbours.issuer)
        for user in (world.admin, world.user):
            auth.add_user(user)
        channel = await stack.enter_async_context(
            running(
                SERVICE,
                server_url=postgres_url,
                database_url=await make_database("scheduler"),
                redis_url=redis_url,
                nats_url=fresh_nats_url,
                issuer=neighbours.issuer,
                auth_address=auth.address,
                tasks_address=neighbours.address,
                notifications_address=neighbours.address,
            )
        )
        world.stub = schedules_pb2_grpc.ScheduleServiceStub(channel)

        async def made() -> bool:
            return len((await world.call("ListSchedules", world.admin)).schedules) == len(IDS)

        await eventually(made)
        yield world


async def test_replicas_that_start_at_once_make_each_schedule_once_and_leave_it_as_it_is(
    replicas: Sequence[Database], clock: ManualClock, events: Any
) -> None:
    for _start in range(2):
        await asyncio.gather(
            *(ensure_system_schedules(each, clock, on_due=lambda: None) for each in replicas for _ in range(2))
        )
        clock.advance(10)
    rows = await replicas[0].fetch(_SCHEDULES)
    assert [row["id"] for row in rows] == list(IDS)
    assert {row["version"] for row in rows} == {1}
    assert [type(event) for event in await events()] == [events_pb2.ScheduleCreated] * len(IDS)


async def test_administrators_see_them_after_their_own_and_others_do_not(world: World) -> None:
    for user in (world.admin, world.user):
        action = schedules_pb2.Action(create_task=schedules_pb2.CreateTaskAction(title="x"))
        await world.call("CreateSchedule", user, name="Mine", interval_s=3600, action=action)
    seen, token = [], ""
    for _page in range(2):
        page = await world.call("ListSchedules", world.admin, page_size=2, page_token=token)
        seen += [(each.name, each.system) for each in page.schedules]
        token = page.next_page_token
    assert seen == [
        ("Mine", False),
        ("Forget old history", True),
        ("Forget sessions that are over", True),
        ("Purge the trash", True),
    ]
    assert not token
    assert [each.name for each in (await world.call("ListSchedules", world.user)).schedules] == ["Mine"]
    listed = await world.call("ListSchedules", world.admin, workspace_id=str(world.admin.workspace_id))
    assert [each.name for each in listed.schedules] == ["Mine"]
    for method in ("GetSchedule", "PauseSchedule", "RunSchedule", "DeleteSchedule", "ListLedger"):
        with pytest.raises(NotFound):
            await world.call(method, world.user, id=TRASH)


async def test_administrators_pause_them_and_change_their_times_and_nothing_else(world: World) -> None:
    paused = (await world.call("PauseSchedule", world.admin, id=TRASH, note="Not now")).schedule
    assert (paused.paused, paused.pause_note, paused.system) == (True, "Not now", True)
    assert not (await world.call("ResumeSchedule", world.admin, id=TRASH)).schedule.paused
    request = schedules_pb2.UpdateScheduleRequest(id=TRASH, cron="5 4 * * *")
    request.update_mask.paths.append("cron")
    assert (await world.stub.UpdateSchedule(request, metadata=world.admin.metadata)).schedule.cron == "5 4 * * *"
    for field, value in (("name", "Mine"), ("action", schedules_pb2.Action(http={"url": "https://example.com"}))):
        request = schedules_pb2.UpdateScheduleRequest(id=TRASH, **{field: value})
        request.update_mask.paths.append(field)
        with pytest.raises(Conflict) as caught:
            await world.stub.UpdateSchedule(request, metadata=world.admin.metadata)
        assert caught.value.code == "SYSTEM_SCHEDULE"
    with pytest.raises(Conflict) as caught:
        await world.call("DeleteSchedule", world.admin, id=TRASH)
    assert caught.value.code == "SYSTEM_SCHEDULE"


async def test_nobody_makes_a_schedule_of_a_clean_up(world: World) -> None:
    cleanup = schedules_pb2.Action(cleanup=schedules_pb2.CleanupAction(what=schedules_pb2.CLEANUP_TRASH))
    for user in (world.admin, world.user):
        with pytest.raises(InvalidArgument, match="system itself"):
            await world.call("CreateSchedule", user, name="Mine", interval_s=60, action=cleanup)
    action = schedules_pb2.Action(http={"url": "https://example.com"})
    fields = {"name": "x", "interval_s": 60, "action": action, "workspace_id": str(SYSTEM_WORKSPACE)}
    with pytest.raises(NotFound):
        await world.call("CreateSchedule", world.admin, **fields)


async def test_a_run_of_the_trash_purges_until_there_is_nothing_more(world: World, neighbours: Neighbours) -> None:
    run = (await world.call("RunSchedule", world.admin, id=TRASH)).run

    async def ended() -> Any:
        runs = (await world.call("ListRuns", world.admin, schedule_id=TRASH)).runs
        return next((each for each in runs if each.id == run.id and each.HasField("finished_at")), None)

    assert (await eventually(ended)).response == "2500 removed"
    assert (neighbours.trash, neighbours.callers) == (0, {"scheduler"})


@pytest.fixture
def clean_up(database: Database, clock: ManualClock, neighbours: Neighbours) -> CleanUp:
    """What executes clean-ups."""
    channel = open_channel(neighbours.address, ServiceTokens("scheduler", DEVELOPMENT_SECRET))
    return CleanUp(database, clock, auth=channel, tasks=channel, notifications=channel, kept=_KEPT)


async def test_sessions_that_are_over_are_forgotten(clean_up: CleanUp, make_run: Any, neighbours: Neighbours) -> None:
    run = make_run({"cleanup": {"what": "sessions"}})
    assert await clean_up(run) == Succeeded(response="1 removed")
    assert await clean_up(run) == Succeeded(response="0 removed")
    assert neighbours.sessions == 0


async def test_history_is_forgotten_when_it_has_been_kept_long_enough(
    database: Database, clean_up: CleanUp, clock: ManualClock, make_run: Any, neighbours: Neighbours
) -> None:
    workspace_id, now = uuid7(), clock.now()
    async with database.transaction() as work:
        for days in (10, 45, 100):
            row = (workspace_id, uuid7(), uuid7(), now - timedelta(days=days))
            for sql in _OLD:
                await work.connection.execute(_ROW + sql, *row)
        await work.connection.execute(_ROW + _UNENDED, workspace_id, uuid7(), uuid7(), now - timedelta(days=400))
    run = make_run({"cleanup": {"what": "history"}})
    outcomes = await asyncio.gather(*(clean_up(replace(run, id=uuid7())) for _ in range(3)))
    assert sum(int(outcome.response.split()[0]) for outcome in outcomes if isinstance(outcome, Succeeded)) == 3_708
    assert (neighbours.handled, neighbours.requests) == (0, 0)
    left = {}
    for table in ("skips", "rule_log", "workflow_runs", "workflow_actions", "run_origins", "inbox", "run_requests"):
        count = statement(text(f"SELECT count(*) FROM {table}"))  # noqa: S608 (names of tables, from above)
        left[table] = await database.fetch_value(count)
    assert left == {
        "skips": 2, "rule_log": 1, "workflow_runs": 3, "workflow_actions": 2, "run_origins": 2, "inbox": 1,
        "run_requests": 2,
    }  # fmt: skip
