"""What a call asks of the scheduler before it begins series."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from rota.scheduler.v1 import series_pb2
from rota_chassis.errors import InvalidArgument
from rota_chassis.testing.clock import ManualClock
from rota_tasks.batch.domain import Create, Edit
from rota_tasks.batch.recurring import planned
from rota_tasks.series.recurrence import Recurrence
from rota_tasks.tasks.dependencies import Tasks

if TYPE_CHECKING:
    from uuid import UUID


class Times:
    """The scheduler: each rule begins on the day on which it starts; one that is `odd` is refused."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def accept(self, request: series_pb2.AcceptRecurrencesRequest) -> Any:
        self.asked.append(len(request.recurrences))
        return series_pb2.AcceptRecurrencesResponse(recurrences=[self._answer(each) for each in request.recurrences])

    def _answer(self, recurrence: Any) -> series_pb2.AcceptedRecurrence:
        if recurrence.rrule == "odd":
            refusal = series_pb2.RecurrenceRefusal(code="INVALID_RRULE", field="rrule")
            return series_pb2.AcceptedRecurrence(refusal=refusal)
        return series_pb2.AcceptedRecurrence(first=recurrence.starts_on)


class NoTasks:
    """A database without a task."""

    async def fetch(self, *_arguments: Any, **_parameters: Any) -> list[Any]:
        return []


async def plan(times: Times, *operations: Any) -> Any:
    user = SimpleNamespace(user_id=uuid4())
    stub = SimpleNamespace(AcceptRecurrences=times.accept)
    tasks = Tasks(cast("Any", NoTasks()), cast("Any", None), ManualClock(), cast("Any", stub), cast("Any", None))
    return await planned(tasks, cast("Any", user), uuid4(), operations)


def create(rrule: str | None = None, *, task_id: UUID | None = None, **fields: Any) -> Create:
    recurrence = None if rrule is None else Recurrence(rrule=rrule)
    return Create(task_id or uuid4(), {"title": "x", "recurrence": recurrence} | fields)


async def test_any_number_is_asked_about_once() -> None:
    times = Times()
    found = await plan(times, *(create("FREQ=DAILY") for _ in range(500)))
    assert times.asked == [500]
    assert len({each.fields["series_id"] for each in found}) == 500


async def test_nothing_is_asked_where_nothing_begins_to_recur() -> None:
    times = Times()
    operations = [create(), Edit(uuid4(), {"recurrence": None}), Edit(uuid4(), {"title": "y"})]
    assert list(await plan(times, *operations)) == operations
    assert times.asked == []


async def test_each_answer_goes_to_its_own_operation() -> None:
    found = await plan(Times(), create(), create("odd"), create("FREQ=DAILY"), create("odd"))
    assert [isinstance(each, InvalidArgument) for each in found] == [False, True, False, True]
    assert "series_id" not in found[0].fields
    assert "series_id" in found[2].fields


async def test_a_rule_starts_at_the_date_that_an_earlier_operation_gives_the_task() -> None:
    task_id = uuid4()
    day = ManualClock().now().date()
    edit = Edit(task_id, {"recurrence": Recurrence(rrule="FREQ=DAILY")})
    found = await plan(Times(), create(task_id=task_id), Edit(task_id, {"due_on": day.replace(day=9)}), edit)
    assert found[2].changes["occurrence"] == day.replace(day=9).isoformat()
