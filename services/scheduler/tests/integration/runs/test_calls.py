"""Runs that people order, look at, cancel and try once more, through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rota.scheduler.v1 import runs_pb2, runs_pb2_grpc, schedules_pb2
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, Unprocessable
from rota_chassis.testing.services import User
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.conftest import RunScheduler
    from rota_chassis.testing.auth import SmallAuth
    from rota_chassis.testing.tokens import TokenIssuer


@dataclass
class Stage:
    """A running scheduler, whoever calls it, and what it calls."""

    stub: runs_pb2_grpc.RunServiceStub
    auth: SmallAuth
    ada: User
    grace: User
    endpoint: Any

    def call(self, **http: Any) -> schedules_pb2.Action:
        """A call of the endpoint, tried once."""
        return schedules_pb2.Action(
            http=schedules_pb2.HttpAction(url=self.endpoint.url, **http),
            retry=schedules_pb2.RetryPolicy(max_attempts=1),
        )

    async def order(self, *, user: User | None = None, **fields: Any) -> schedules_pb2.Run:
        """A new run, which calls the endpoint."""
        request = runs_pb2.CreateRunRequest(**{"action": self.call(), **fields})
        return (await self.stub.CreateRun(request, metadata=(user or self.ada).metadata)).run

    async def read(self, run: schedules_pb2.Run) -> schedules_pb2.Run:
        """The run as it is now."""
        return (await self.stub.GetRun(runs_pb2.GetRunRequest(id=run.id), metadata=self.ada.metadata)).run

    async def ended(self, run: schedules_pb2.Run) -> schedules_pb2.Run:
        """The run as it ended."""

        async def has_ended() -> bool:
            return (await self.read(run)).HasField("finished_at")

        await eventually(has_ended)
        return await self.read(run)

    async def cancel(self, run: schedules_pb2.Run, user: User | None = None) -> schedules_pb2.Run:
        """The run, cancelled."""
        request = runs_pb2.CancelRunRequest(id=run.id)
        return (await self.stub.CancelRun(request, metadata=(user or self.ada).metadata)).run

    async def replay(self, run: schedules_pb2.Run, user: User | None = None) -> schedules_pb2.Run:
        """A dead letter's new run."""
        request = runs_pb2.ReplayDeadLetterRequest(id=run.id)
        return (await self.stub.ReplayDeadLetter(request, metadata=(user or self.ada).metadata)).run

    async def dead_letters(self, user: User | None = None) -> list[str]:
        """The ids of the user's dead letters."""
        request = runs_pb2.ListDeadLettersRequest()
        answer = await self.stub.ListDeadLetters(request, metadata=(user or self.ada).metadata)
        return [run.id for run in answer.runs]


@pytest.fixture
async def stage(
    run_scheduler: RunScheduler, auth: SmallAuth, issuer: TokenIssuer, listening: Any
) -> AsyncIterator[Stage]:
    async with listening(200) as endpoint:
        channel = await run_scheduler(private_addresses_allowed=True)
        ada, grace = User(issuer), User(issuer)
        auth.add_user(ada)
        auth.add_user(grace)
        yield Stage(runs_pb2_grpc.RunServiceStub(channel), auth, ada, grace, endpoint)


def ahead(**away: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.now(UTC) + timedelta(**away))
    return stamp


async def test_a_run_that_is_ordered_takes_its_action_at_once(stage: Stage) -> None:
    run = await stage.order()
    assert (run.manual, run.action_kind, run.workspace_id) == (True, "http", str(stage.ada.workspace_id))
    ended = await stage.ended(run)
    assert (ended.status, ended.http_status) == (schedules_pb2.RUN_STATUS_SUCCEEDED, 200)
    assert [call["idempotency-key"] for call in stage.endpoint.calls] == [run.id]


async def test_a_repeated_order_gives_the_same_run_and_other_content_is_refused(stage: Stage) -> None:
    first = await stage.order(request_id="once")
    answers = await asyncio.gather(*(stage.order(request_id="once") for _ in range(5)))
    assert {run.id for run in answers} == {first.id}
    with pytest.raises(Unprocessable):
        await stage.order(request_id="once", priority=1)
    await stage.ended(first)
    assert len(stage.endpoint.calls) == 1


async def test_a_run_begins_when_those_before_it_have_ended_whatever_came_of_them(stage: Stage) -> None:
    later = await stage.order(at=ahead(hours=1))
    stage.endpoint.statuses[:] = [404, 200]
    failing = await stage.order()
    last = await stage.order(after=[later.id, failing.id])
    assert (await stage.ended(failing)).status == schedules_pb2.RUN_STATUS_FAILED
    assert (await stage.read(last)).status == schedules_pb2.RUN_STATUS_PENDING
    assert (await stage.cancel(later)).status == schedules_pb2.RUN_STATUS_CANCELLED
    assert (await stage.ended(last)).status == schedules_pb2.RUN_STATUS_SUCCEEDED


async def test_a_run_waits_for_no_run_of_another(stage: Stage) -> None:
    theirs = await stage.order(user=stage.grace, at=ahead(hours=1))
    with pytest.raises(NotFound) as caught:
        await stage.order(after=[theirs.id])
    assert caught.value.violations[0].field == "after[0]"


async def test_cancelling_breaks_off_an_attempt_and_of_several_one_succeeds(stage: Stage) -> None:
    stage.endpoint.silent = True
    run = await stage.order()

    async def called() -> bool:
        return bool(stage.endpoint.calls)

    await eventually(called)
    answers = await asyncio.gather(*(stage.cancel(run) for _ in range(5)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in answers) == ["Conflict"] * 4 + ["Run"]
    assert (await stage.read(run)).status == schedules_pb2.RUN_STATUS_CANCELLED


async def test_what_has_failed_is_a_dead_letter_until_it_is_replayed_and_is_replayed_once(stage: Stage) -> None:
    stage.endpoint.statuses[:] = [500, 200]
    failed = await stage.ended(await stage.order())
    good = await stage.ended(await stage.order())
    assert await stage.dead_letters() == [failed.id]
    assert await stage.dead_letters(stage.grace) == []
    with pytest.raises(Conflict):
        await stage.replay(good)
    answers = await asyncio.gather(*(stage.replay(failed) for _ in range(5)))
    (new_id,) = {run.id for run in answers}
    assert new_id != failed.id
    assert (await stage.ended(answers[0])).status == schedules_pb2.RUN_STATUS_SUCCEEDED
    assert await stage.dead_letters() == []
    assert len(stage.endpoint.calls) == 3


async def test_a_run_that_has_ended_is_tried_once_more_as_a_new_run(stage: Stage) -> None:
    run = await stage.order(at=ahead(hours=1), priority=5)
    request = runs_pb2.RetryRunRequest(id=run.id, request_id="again")
    with pytest.raises(Conflict):
        await stage.stub.RetryRun(request, metadata=stage.ada.metadata)
    await stage.cancel(run)
    first = (await stage.stub.RetryRun(request, metadata=stage.ada.metadata)).run
    assert (first.priority, first.id == run.id) == (5, False)
    assert (await stage.stub.RetryRun(request, metadata=stage.ada.metadata)).run.id == first.id
    assert (await stage.ended(first)).status == schedules_pb2.RUN_STATUS_SUCCEEDED


async def test_pages_of_runs_show_each_once_the_newest_first_ended_or_not(stage: Stage) -> None:
    ended = [await stage.ended(await stage.order()) for _ in range(3)]
    open_ones = [await stage.order(at=ahead(hours=1)) for _ in range(2)]
    await stage.order(user=stage.grace)

    async def listed(**fields: Any) -> list[str]:
        found, token = [], ""
        while True:
            request = runs_pb2.ListAllRunsRequest(page_size=2, page_token=token, **fields)
            answer = await stage.stub.ListAllRuns(request, metadata=stage.ada.metadata)
            found += [run.id for run in answer.runs]
            token = answer.next_page_token
            if not token:
                return found

    newest = [run.id for run in (*ended, *open_ones)][::-1]
    assert await listed() == newest
    assert await listed(status=schedules_pb2.RUN_STATUS_PENDING) == newest[:2]
    assert await listed(workspace_id=str(stage.ada.workspace_id), status="RUN_STATUS_SUCCEEDED") == newest[2:]
    with pytest.raises(NotFound):
        await listed(workspace_id=str(stage.grace.workspace_id))


async def test_others_find_no_run_and_viewers_change_none(stage: Stage) -> None:
    run = await stage.order(at=ahead(hours=1))
    for call in (stage.cancel(run, stage.grace), stage.replay(run, stage.grace)):
        with pytest.raises(NotFound):
            await call
    viewer = stage.grace
    stage.auth.add_member(stage.ada.workspace_id, viewer.id, role="viewer")

    async def sees_it() -> bool:
        try:
            await stage.stub.GetRun(runs_pb2.GetRunRequest(id=run.id), metadata=viewer.metadata)
        except NotFound:
            return False
        return True

    await eventually(sees_it)
    with pytest.raises(PermissionDenied):
        await stage.cancel(run, viewer)
    with pytest.raises(PermissionDenied):
        await stage.order(user=viewer, workspace_id=str(stage.ada.workspace_id))
    with pytest.raises(NotFound):
        await stage.cancel(schedules_pb2.Run(id=str(uuid4())))


async def test_an_action_that_cannot_be_taken_is_refused(stage: Stage) -> None:
    action = schedules_pb2.Action(http=schedules_pb2.HttpAction(url="ftp://example.com/"))
    with pytest.raises(InvalidArgument) as caught:
        await stage.order(action=action)
    assert caught.value.violations[0].field == "action.http.url"
