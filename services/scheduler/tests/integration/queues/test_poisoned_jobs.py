"""A job that no worker can be told of, or whose end cannot be written, fails; the others are given out."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc.aio
import pytest
from poisoned import MANY, ended_as, spoil
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import schedules_pb2
from rota_chassis.errors import Conflict
from rota_chassis.events.log import NewEvent
from rota_chassis.identity import UserPrincipal
from rota_chassis.ids import uuid7
from rota_chassis.memberships import MEMBERSHIPS, Memberships
from rota_chassis.postgres.statements import statement
from rota_chassis.testing.metrics import set_aside
from rota_scheduler.queues.commands import claim_runs, complete_run
from rota_scheduler.queues.dependencies import Queues
from rota_scheduler.queues.messages import claimed_message
from rota_scheduler.queues.waiting import Waiting
from rota_scheduler.runs import store as runs
from rota_scheduler.runs.domain import Status
from rota_scheduler.runs.messages import listed
from sqlalchemy import bindparam, insert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_scheduler.runs.domain import Run

    MakeRun = Callable[[Mapping[str, Any]], Run]

_JOIN = statement(insert(MEMBERSHIPS).values({c.name: bindparam(c.name) for c in MEMBERSHIPS.c}))
JOB = {"job": {"queue": "ovens", "payload": {"bread": "rye"}}}


class AnyMember:
    """Everybody is an owner of every workspace."""

    async def require(self, *_: object) -> str:
        return "owner"


@pytest.mark.parametrize(
    ("action", "allocation"),
    [
        ('{"job": {"queue": "ovens", "payload": 7}}', None),
        ('{"job": {"queue": "ovens"}, "retry": {"often": true}}', None),
        ('{"job": {"queue": "ovens"}, "retry": {"max_attempts": 9999999999}}', None),
        ('{"job": {"queue": "ovens"}, "retry": {"max_attempts": "often"}}', None),
        ('{"job": {"queue": "ovens"}, "of_task": 7}', None),
        ('{"job": {"queue": "ovens"}}', '{"policy": "never"}'),
    ],
    ids=["its payload", "its policy", "its attempts", "no number", "its task", "what it shares"],
)
async def test_a_job_that_no_worker_can_be_told_of_fails_and_the_others_are_given_out(
    replicas: Sequence[Database], clock: ManualClock, make_run: MakeRun, action: str, allocation: str | None
) -> None:
    found = [make_run(JOB) for _ in range(MANY)]
    found = [replace(each, workspace_id=found[0].workspace_id) for each in found]
    async with replicas[0].transaction() as work:
        await runs.add(work, found)
    poisoned = found[3]
    await spoil(
        replicas[0],
        "UPDATE runs SET action = CAST(CAST(:action AS text) AS jsonb),"
        " allocation = CAST(CAST(:allocation AS text) AS jsonb) WHERE id = CAST(:id AS uuid)",
        id=poisoned.id,
        action=action,
        allocation=allocation,
    )
    before = set_aside("run")
    memberships: Any = AnyMember()
    user = UserPrincipal(uuid7(), found[0].workspace_id, "user", None)

    async def claim(database: Database) -> list[UUID]:
        jobs = await claim_runs(
            Queues(database, memberships, clock, Waiting(database, clock), random.uniform, on_runs=lambda: None),
            user,
            place=(user.workspace_id, "ovens"),
            limit=3,
            wait_s=0,
            lease_s=60,
            worker="",
            told=claimed_message,
        )
        return [UUID(each.id) for each in jobs]

    # Two at once, each on a connection of its own.
    claimed = [each for some in await asyncio.gather(*map(claim, replicas)) for each in some]
    while more := await claim(replicas[0]):
        claimed += more
    assert sorted(claimed) == sorted(each.id for each in found if each is not poisoned)
    assert set_aside("run") - before >= 1
    run = await runs.get(replicas[0], workspace_id=user.workspace_id, run_id=poisoned.id)
    assert run is not None
    assert run.status is Status.FAILED
    assert (listed(run).error).startswith("It could not be run (")


async def test_a_job_whose_end_cannot_be_written_fails_instead_of_being_given_out_for_ever(
    database: Database, clock: ManualClock, make_run: MakeRun
) -> None:
    run = make_run(JOB)
    user = UserPrincipal(uuid7(), run.workspace_id, "user", None)
    async with database.transaction() as work:
        await runs.add(work, [run])
        await work.execute(
            _JOIN, workspace_id=run.workspace_id, user_id=user.user_id, role="member", version=1, removed=False
        )
        # There is an event of its end already, as when a database was restored from before.
        said = events_pb2.RunFinished(run=schedules_pb2.Run(id=str(run.id)))
        work.append(NewEvent(run.workspace_id, run.id, 1, said, clock.now()))
    memberships = Memberships(database, grpc.aio.insecure_channel("unix:/nowhere"))
    queues = Queues(database, memberships, clock, Waiting(database, clock), random.uniform, on_runs=lambda: None)
    (job,) = await claim_runs(
        queues,
        user,
        place=(user.workspace_id, "ovens"),
        limit=3,
        wait_s=0,
        lease_s=60,
        worker="",
        told=claimed_message,
    )
    before = set_aside("run")
    with pytest.raises(Conflict):
        await complete_run(queues, user, run_id=run.id, fence=job.fence, result=None)
    assert set_aside("run") - before == 1
    await ended_as(database, [run], failed=run)
