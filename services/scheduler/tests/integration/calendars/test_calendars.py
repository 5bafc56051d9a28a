"""Calendars, and the schedules that keep to them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.scheduler.v1 import calendars_pb2, calendars_pb2_grpc, schedules_pb2, schedules_pb2_grpc
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, PreconditionFailed, Unprocessable
from rota_chassis.ids import uuid7
from rota_chassis.memberships import Memberships
from rota_chassis.postgres.database import Database
from rota_chassis.testing.auth import SmallAuth, small_auth
from rota_chassis.testing.clock import ManualClock
from rota_chassis.testing.services import User, running
from rota_chassis.testing.waiting import eventually
from rota_scheduler.bootstrap import SERVICE
from rota_scheduler.calendars.dependencies import Calendars
from rota_scheduler.calendars.following import follow_calendars

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer

ACTION = schedules_pb2.Action(event=schedules_pb2.EventAction(type="plants.watered"))


class World:
    """A scheduler that runs, and who uses it; it is 06:00 on Thursday, 2026-12-24."""

    def __init__(self, issuer: TokenIssuer, auth: SmallAuth, channel: grpc.aio.Channel, url: str) -> None:
        self.auth = auth
        self.url = url
        self.clock = ManualClock()
        self.calendars = calendars_pb2_grpc.CalendarServiceStub(channel)
        self.schedules = schedules_pb2_grpc.ScheduleServiceStub(channel)
        self.ada, self.grace = User(issuer), User(issuer)
        auth.add_user(self.ada)
        auth.add_user(self.grace, name="Grace")

    async def calendar(self, *, user: User | None = None, **fields: Any) -> Any:
        request = calendars_pb2.CreateCalendarRequest(**{"name": "Holidays"} | fields)
        return (await self.calendars.CreateCalendar(request, metadata=(user or self.ada).metadata)).calendar

    async def replace(self, calendar: Any, **fields: Any) -> Any:
        request = calendars_pb2.ReplaceCalendarRequest(**{"id": calendar.id, "name": "Holidays"} | fields)
        return (await self.calendars.ReplaceCalendar(request, metadata=self.ada.metadata)).calendar

    async def schedule(self, *calendars: Any, cron: str = "0 9 * * *", **fields: Any) -> Any:
        spec = schedules_pb2.ScheduleSpec(cron=cron, exclude_calendars=[each.id for each in calendars])
        request = schedules_pb2.CreateScheduleRequest(name="Plants", spec=spec, action=ACTION, **fields)
        return (await self.schedules.CreateSchedule(request, metadata=self.ada.metadata)).schedule

    async def next_day(self, schedule: Any) -> int | None:
        request = schedules_pb2.GetScheduleRequest(id=schedule.id)
        found = (await self.schedules.GetSchedule(request, metadata=self.ada.metadata)).schedule
        return day_of(found)


def day_of(schedule: Any) -> int | None:
    return schedule.next_fire_at.ToDatetime(UTC).day if schedule.HasField("next_fire_at") else None


@pytest.fixture
async def world(
    make_database: MakeDatabase, postgres_url: str, redis_url: str, fresh_nats_url: str, issuer: TokenIssuer
) -> AsyncIterator[World]:
    clock = ManualClock(datetime(2026, 12, 24, 6, tzinfo=UTC))
    url = await make_database("scheduler")
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(small_auth())
        channel = await stack.enter_async_context(
            running(
                SERVICE,
                server_url=postgres_url,
                database_url=url,
                redis_url=redis_url,
                nats_url=fresh_nats_url,
                issuer=issuer,
                clock=clock,
                auth_address=auth.address,
            )
        )
        found = World(issuer, auth, channel, url)
        found.clock = clock
        yield found


async def test_a_schedule_keeps_to_its_calendars_and_to_what_they_become(world: World) -> None:
    weekend = await world.calendar(name="Weekend", weekdays=[6, 7])
    assert list(weekend.weekdays) == [calendars_pb2.WEEKDAY_SATURDAY, calendars_pb2.WEEKDAY_SUNDAY]
    holidays = await world.calendar(dates=["2026-12-25", "2026-12-24"])
    assert list(holidays.dates) == ["2026-12-24", "2026-12-25"]
    schedule = await world.schedule(weekend, holidays)
    assert day_of(schedule) == 28
    assert list(schedule.spec.exclude_calendars) == [weekend.id, holidays.id]
    preview = schedules_pb2.PreviewScheduleRequest(id=schedule.id, count=2)
    shown = await world.schedules.PreviewSchedule(preview, metadata=world.ada.metadata)
    assert [each.utc.ToDatetime().day for each in shown.times] == [28, 29]
    await world.replace(holidays, dates=["2026-12-25", "2026-12-28"])
    assert await eventually(lambda: _is(world, schedule, 24))
    await world.replace(holidays, rrules=["FREQ=DAILY"])
    assert await eventually(lambda: _is(world, schedule, None))
    await world.replace(holidays, dates=["2026-12-24", "2026-12-25", "2026-12-28"])
    assert await eventually(lambda: _is(world, schedule, 29))
    world.clock.advance(6 * 86_400)
    assert await eventually(lambda: _is(world, schedule, 30))
    runs = await world.schedules.ListRuns(
        schedules_pb2.ListRunsRequest(schedule_id=schedule.id), metadata=world.ada.metadata
    )
    assert [each.nominal_time.ToDatetime().day for each in runs.runs] == [29]


async def _is(world: World, schedule: Any, day: int | None) -> bool:
    return await world.next_day(schedule) == day


async def test_a_schedule_fires_on_the_days_of_some_calendars_only_and_follows_them(world: World) -> None:
    market = await world.calendar(name="Market", weekdays=[7])
    fair = await world.calendar(name="Fair", dates=["2026-12-26", "2026-12-28"])
    closed = await world.calendar(name="Closed", dates=["2026-12-26"])
    spec = schedules_pb2.ScheduleSpec(
        cron="0 9 * * *", only_calendars=[market.id, fair.id], exclude_calendars=[closed.id]
    )
    preview = schedules_pb2.PreviewSpecRequest(spec=spec, count=3)
    shown = await world.schedules.PreviewSpec(preview, metadata=world.ada.metadata)
    left_out = schedules_pb2.TIME_NOTE_CALENDAR
    assert [(each.utc.ToDatetime().day, each.note) for each in shown.times] == [(27, left_out), (28, 0), (3, left_out)]
    request = schedules_pb2.CreateScheduleRequest(name="Market", spec=spec, action=ACTION)
    schedule = (await world.schedules.CreateSchedule(request, metadata=world.ada.metadata)).schedule
    assert (day_of(schedule), list(schedule.spec.only_calendars)) == (27, [market.id, fair.id])
    await world.replace(market, weekdays=[3])
    assert await eventually(lambda: _is(world, schedule, 28))
    await world.replace(fair, dates=["2026-12-25", "2026-12-31"])
    assert await eventually(lambda: _is(world, schedule, 25))
    with pytest.raises(Conflict):
        await world.calendars.DeleteCalendar(
            calendars_pb2.DeleteCalendarRequest(id=fair.id), metadata=world.ada.metadata
        )
    world.clock.advance(8 * 86_400)
    assert await eventually(lambda: _is(world, schedule, 6))
    asked = schedules_pb2.ListLedgerRequest(id=schedule.id)
    ledger = await world.schedules.ListLedger(asked, metadata=world.ada.metadata)
    # A day on which it does not fire is no nominal time, so there is nothing to account for.
    assert [each.nominal_time.ToDatetime().day for each in ledger.entries] == [25, 30, 31]


async def test_a_schedule_fires_never_on_days_that_there_are_not_or_that_are_excluded(world: World) -> None:
    never, gone = await world.calendar(dates=["2020-01-01"]), uuid7()
    for spec, error in (
        (schedules_pb2.ScheduleSpec(cron="0 9 * * *", only_calendars=[never.id]), "SCHEDULE_NEVER_FIRES"),
        (schedules_pb2.ScheduleSpec(cron="0 9 * * *", only_calendars=[str(gone)]), "CALENDAR_NOT_FOUND"),
    ):
        request = schedules_pb2.CreateScheduleRequest(name="Never", spec=spec, action=ACTION)
        with pytest.raises((InvalidArgument, NotFound)) as refused:
            await world.schedules.CreateSchedule(request, metadata=world.ada.metadata)
        assert refused.value.code == error
    assert refused.value.violations[0].field == "spec.only_calendars[0]"


async def test_a_preview_and_an_edit_take_calendars(world: World) -> None:
    holidays = await world.calendar(dates=["2026-12-24"])
    spec = schedules_pb2.ScheduleSpec(cron="0 9 * * *", exclude_calendars=[holidays.id])
    shown = await world.schedules.PreviewSpec(
        schedules_pb2.PreviewSpecRequest(spec=spec, count=1), metadata=world.ada.metadata
    )
    assert [each.utc.ToDatetime().day for each in shown.times] == [25]
    schedule = await world.schedule()
    assert day_of(schedule) == 24
    edit = schedules_pb2.UpdateScheduleRequest(id=schedule.id, spec=spec, update_mask=FieldMask(paths=["spec"]))
    assert day_of((await world.schedules.UpdateSchedule(edit, metadata=world.ada.metadata)).schedule) == 25
    put = schedules_pb2.PutScheduleRequest(name="By name", spec=spec, action=ACTION)
    assert day_of((await world.schedules.PutSchedule(put, metadata=world.ada.metadata)).schedule) == 25


async def test_a_schedule_that_never_fires_for_its_calendar_is_refused(world: World) -> None:
    always = await world.calendar(rrules=["FREQ=DAILY"])
    with pytest.raises(InvalidArgument) as refused:
        await world.schedule(always)
    assert refused.value.code == "SCHEDULE_NEVER_FIRES"


async def test_a_calendar_that_schedules_keep_to_is_not_deleted(world: World) -> None:
    holidays = await world.calendar(dates=["2026-12-24"])
    schedule = await world.schedule(holidays)
    delete = calendars_pb2.DeleteCalendarRequest(id=holidays.id)
    with pytest.raises(Conflict, match=rf"Plants \({schedule.id}\)") as refused:
        await world.calendars.DeleteCalendar(delete, metadata=world.ada.metadata)
    assert refused.value.code == "CALENDAR_IN_USE"
    await world.schedules.DeleteSchedule(
        schedules_pb2.DeleteScheduleRequest(id=schedule.id), metadata=world.ada.metadata
    )
    await world.calendars.DeleteCalendar(delete, metadata=world.ada.metadata)
    with pytest.raises(NotFound):
        await world.schedule(holidays)


async def test_a_schedule_and_the_end_of_its_calendar_at_once_leave_one_of_them(world: World) -> None:
    for _ in range(5):
        holidays = await world.calendar(dates=["2026-12-24"])
        delete = calendars_pb2.DeleteCalendarRequest(id=holidays.id)
        made, gone = await asyncio.gather(
            world.schedule(holidays),
            world.calendars.DeleteCalendar(delete, metadata=world.ada.metadata),
            return_exceptions=True,
        )
        assert isinstance(made, NotFound) != isinstance(gone, Conflict)


async def test_two_that_change_a_calendar_at_once_leave_the_times_of_what_is_left(world: World) -> None:
    holidays = await world.calendar()
    schedules = await asyncio.gather(*(world.schedule(holidays) for _ in range(5)))
    answers = await asyncio.gather(
        *(
            world.replace(holidays, dates=dates, if_match=holidays.etag)
            for dates in (["2026-12-24"], ["2026-12-24", "2026-12-25"])
        ),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in answers) == ["Calendar", "PreconditionFailed"]
    (left,) = [each for each in answers if not isinstance(each, PreconditionFailed)]
    for schedule in schedules:
        await eventually(lambda schedule=schedule: _is(world, schedule, 24 + len(left.dates)))


async def test_what_one_that_died_has_left_another_follows(world: World) -> None:
    holidays = await world.calendar()
    schedule = await world.schedule(holidays)
    connection = await asyncpg.connect(world.url)
    try:
        # As it is after the commit of a change whose process died then.
        await connection.execute("UPDATE calendars SET dates = '{2026-12-24}', version = 2")
        await eventually(lambda: _is(world, schedule, 25))

        async def is_followed() -> bool:
            return bool(await connection.fetchval("SELECT followed_version = 2 FROM calendars"))

        await eventually(is_followed)
    finally:
        await connection.close()
    database = await Database.connect(world.url)
    try:
        memberships = Memberships(database, grpc.aio.insecure_channel("unix:/nowhere"))
        nothing = Calendars(database, memberships, world.clock, lambda: None, lambda: None)
        assert await follow_calendars(nothing) is None
    finally:
        await database.close()


async def test_calendars_are_listed_in_pages_and_made_once_for_a_key(world: World) -> None:
    made = [await world.calendar(name=f"calendar {number}") for number in range(3)]
    first = await world.calendar(name="once", request_id="k1")
    assert (await world.calendar(name="once", request_id="k1")).id == first.id
    with pytest.raises(Unprocessable):
        await world.calendar(name="other", request_id="k1")
    names: list[str] = []
    token = ""
    while True:
        page = await world.calendars.ListCalendars(
            calendars_pb2.ListCalendarsRequest(page_size=2, page_token=token), metadata=world.ada.metadata
        )
        names += [each.name for each in page.calendars]
        token = page.next_page_token
        if not token:
            break
    assert names == ["once", *(each.name for each in reversed(made))]


async def test_strangers_see_no_calendar_and_viewers_change_none(world: World) -> None:
    holidays = await world.calendar()
    stranger, get = world.grace, calendars_pb2.GetCalendarRequest(id=holidays.id)
    with pytest.raises(NotFound):
        await world.calendars.GetCalendar(get, metadata=stranger.metadata)
    spec = schedules_pb2.ScheduleSpec(cron="0 9 * * *", exclude_calendars=[holidays.id])
    request = schedules_pb2.CreateScheduleRequest(name="Plants", spec=spec, action=ACTION)
    with pytest.raises(NotFound) as refused:
        await world.schedules.CreateSchedule(request, metadata=stranger.metadata)
    assert refused.value.violations[0].field == "spec.exclude_calendars[0]"


async def test_viewers_change_no_calendar(world: World) -> None:
    holidays = await world.calendar()
    world.auth.add_member(world.ada.workspace_id, world.grace.id, role="viewer")
    get = calendars_pb2.GetCalendarRequest(id=holidays.id)
    assert (await world.calendars.GetCalendar(get, metadata=world.grace.metadata)).calendar.id == holidays.id
    delete = calendars_pb2.DeleteCalendarRequest(id=holidays.id)
    with pytest.raises(PermissionDenied):
        await world.calendars.DeleteCalendar(delete, metadata=world.grace.metadata)
    with pytest.raises(PermissionDenied):
        await world.calendar(user=world.grace, workspace_id=str(world.ada.workspace_id))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"name": " "}, "name", id="name"),
        pytest.param({"dates": ["2026-02-30"]}, "dates[0]", id="date"),
        pytest.param({"rrules": ["FREQ=HOURLY"]}, "rrules[0]", id="rule"),
        pytest.param({"time_zone": "Mars/Olympus"}, "time_zone", id="zone"),
        pytest.param({"weekdays": [0]}, "weekdays[0]", id="weekday"),
        pytest.param({"weekdays": [1, 2, 3, 4, 5, 6, 7]}, "weekdays", id="all days"),
    ],
)
async def test_a_calendar_that_means_no_days_is_refused(world: World, fields: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await world.calendar(**fields)
    assert [each.field for each in refused.value.violations] == [field]


async def test_a_calendar_of_another_workspace_is_not_there(world: World) -> None:
    foreign = await world.calendar(user=world.grace)
    with pytest.raises(NotFound):
        await world.schedule(foreign)
    with pytest.raises(NotFound):
        await world.replace(calendars_pb2.Calendar(id=str(uuid7())))
