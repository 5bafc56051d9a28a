"""The scheduler says once of each series, and of each of its versions, what is due."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from rota.events.v1 import events_pb2
from rota.scheduler.v1 import series_pb2 as times_pb2
from rota.scheduler.v1 import series_pb2_grpc
from rota.tasks.v1 import recurrence_pb2, series_pb2
from rota_chassis.errors import InvalidArgument, PermissionDenied
from rota_chassis.events.consumer import Consumer
from rota_chassis.events.envelope import Event
from rota_chassis.ids import uuid7
from rota_chassis.testing.services import User, running
from rota_scheduler.bootstrap import SERVICE
from rota_scheduler.series.firing import SeriesTimes, fire_series
from rota_scheduler.series.handlers import handlers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rota_chassis.postgres.database import Database
    from rota_chassis.testing.clock import ManualClock
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer

    Events = Callable[[], Awaitable[list[Any]]]

WORKSPACE = uuid7()


def told(clock: ManualClock, version: int = 1, **fields: Any) -> Event:
    """An event of a series that has an occurrence every hour from now on."""
    message = series_pb2.TaskSeries(
        id=str(fields.pop("id", uuid7())),
        workspace_id=str(WORKSPACE),
        recurrence=recurrence_pb2.Recurrence(every="1h"),
        latest=clock.now().replace(microsecond=0).isoformat(),
        occurrences=1,
        version=version,
        **fields,
    )
    message.recurrence.starts_at.FromDatetime(clock.now().replace(microsecond=0))
    ended = message.HasField("ended_at")
    data = (events_pb2.TaskSeriesEnded if ended else events_pb2.TaskSeriesUpdated)(series=message)
    return Event(
        id=uuid7(),
        type="task_series.ended" if ended else "task_series.updated",
        source="/rota/tasks",
        workspace_id=WORKSPACE,
        aggregate_id=UUID(message.id),
        aggregate_version=version,
        actor="system",
        time=clock.now(),
        data=data,
    )


async def receive(database: Database, *events: Event) -> None:
    consumer = Consumer("scheduler", handlers(), database=database, nats=None)  # type: ignore[arg-type]
    for event in events:
        await consumer.handle(event)


async def drain(database: Database, clock: ManualClock) -> None:
    due = clock.now()
    while due is not None and due <= clock.now():
        due = await fire_series(SeriesTimes(database, clock))


async def test_an_occurrence_is_said_to_be_due_once_at_its_time(
    database: Database, clock: ManualClock, events: Events
) -> None:
    series = told(clock)
    await receive(database, series, series)
    await drain(database, clock)
    assert await events() == []
    clock.advance(3600)
    await drain(database, clock)
    await receive(database, series)
    await drain(database, clock)
    (due,) = await events()
    assert (due.series_id, due.series_version) == (str(series.aggregate_id), 1)
    assert due.occurrence > series.data.series.latest


async def test_an_older_version_that_comes_late_changes_nothing(
    database: Database, clock: ManualClock, events: Events
) -> None:
    series_id = uuid7()
    first, ended = told(clock, 1, id=series_id), told(clock, 2, id=series_id)
    ended.data.series.ended_at.FromDatetime(clock.now())
    await receive(database, ended, first)
    clock.advance(7200)
    await drain(database, clock)
    assert await events() == []


async def test_a_rule_that_cannot_be_read_any_more_does_not_hold_the_others_up(
    database: Database, clock: ManualClock, events: Events
) -> None:
    broken, series = told(clock), told(clock)
    broken.data.series.recurrence.time_zone = "Mars/Olympus"
    await receive(database, broken, series)
    clock.advance(3600)
    await drain(database, clock)
    assert [each.series_id for each in await events()] == [str(series.aggregate_id)]


async def test_replicas_that_look_at_once_say_each_once(
    replicas: Sequence[Database], clock: ManualClock, events: Events
) -> None:
    for _ in range(200):
        await receive(replicas[0], told(clock))
    clock.advance(3600)
    await asyncio.gather(*(drain(database, clock) for database in replicas for _ in range(2)))
    said = [each.series_id for each in await events()]
    assert len(said) == len(set(said)) == 200


async def test_a_scheduler_that_dies_before_its_commit_leaves_it_to_the_next(
    replicas: Sequence[Database], clock: ManualClock, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    await receive(replicas[0], told(clock))
    clock.advance(3600)

    class Killed(BaseException):
        pass

    def die(*_args: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("rota_scheduler.series.firing.due_event", die)
        with pytest.raises(Killed):
            await fire_series(SeriesTimes(replicas[0], clock))
    assert await events() == []
    await drain(replicas[1], clock)
    assert len(await events()) == 1


async def test_services_alone_ask_for_times_and_a_bad_rule_names_its_field(
    make_database: MakeDatabase, postgres_url: str, redis_url: str, fresh_nats_url: str, issuer: TokenIssuer
) -> None:
    async with running(
        SERVICE,
        server_url=postgres_url,
        database_url=await make_database("scheduler"),
        redis_url=redis_url,
        nats_url=fresh_nats_url,
        issuer=issuer,
    ) as channel:
        stub = series_pb2_grpc.SeriesTimesServiceStub(channel)
        recurrence = recurrence_pb2.Recurrence(rrule="FREQ=DAILY;COUNT=2", starts_on="2026-11-21")
        request = times_pb2.ListNextOccurrencesRequest(series=series_pb2.TaskSeries(recurrence=recurrence), count=3)
        answer = await stub.ListNextOccurrences(request)
        assert list(answer.occurrences) == ["2026-11-21", "2026-11-22"]
        request.series.recurrence.rrule = "FREQ=DAILY;COUNT=2;UNTIL=20280101"
        with pytest.raises(InvalidArgument) as refused:
            await stub.ListNextOccurrences(request)
        assert refused.value.code == "INVALID_RRULE"
        assert [each.field for each in refused.value.violations] == ["recurrence.rrule"]
        with pytest.raises(PermissionDenied):
            await stub.ListNextOccurrences(request, metadata=User(issuer).metadata)


async def test_the_next_occurrence_waits_for_no_later_than_it_must(database: Database, clock: ManualClock) -> None:
    series = told(clock, lead_s=600)
    await receive(database, series)
    wake_at = await fire_series(SeriesTimes(database, clock))
    assert wake_at == clock.now().replace(microsecond=0) + timedelta(minutes=50)
