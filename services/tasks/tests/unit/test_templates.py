"""What templates say, without servers."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_tasks.templates.content import NAMED, Content, TaskPlan, Variable
from rota_tasks.templates.dates import moment, written
from rota_tasks.templates.filling import TooLongError, fill

START = date(2027, 3, 1)
texts = st.text(alphabet="ab{}\\ ", max_size=30)


def filled(title: str, **values: str) -> str:
    content = Content(variables=tuple(Variable(name=each) for each in values), tasks=(TaskPlan(title=title),))
    return fill(content, values).tasks[0].title


@given(text=texts)
def test_a_text_that_is_made_literal_comes_out_as_it_was(text: str) -> None:
    literal = NAMED.sub(lambda found: f"\\{found[0]}", text)
    assert filled(literal, a="no", b="no", ab="no", ba="no") == text


@given(value=texts)
def test_a_value_comes_out_as_it_is(value: str) -> None:
    assert filled("<{{a}}>", a=value, b="no") == f"<{value}>"


def test_an_output_is_refused_before_it_is_made() -> None:
    with pytest.raises(TooLongError) as caught:
        filled("{{a}}" * 100_000, a="x" * 5_000)
    assert caught.value.place == "tasks[0].title"


@pytest.mark.parametrize(
    ("text", "day", "clock"),
    [
        ("+3d", date(2027, 3, 4), None),
        ("-1w", date(2027, 2, 22), None),
        ("+0dT09:30", START, time(9, 30)),
        ("T23:59", START, time(23, 59)),
        ("{{launch}}", date(2028, 2, 29), None),
        ("{{launch}}+1dT00:00", date(2028, 3, 1), time(0)),
    ],
)
def test_a_date_counts_from_the_start_or_from_a_variable(text: str, day: date, clock: time | None) -> None:
    found = moment(text, {"launch": "2028-02-29"}, START)
    assert found is not None
    assert (found.day, found.clock) == (day, clock)


@pytest.mark.parametrize("text", ["", "{{launch}}+3d"])
def test_a_date_of_nothing_is_none(text: str) -> None:
    assert moment(text, {"launch": ""}, START) is None


@pytest.mark.parametrize("text", ["+3", "3d", "+3dT9", "+ 3d", "tomorrow", "+3d+3d"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no date"):
        moment(text, {}, START)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2050, 1, 1)))  # noqa: DTZ001 (of the zone)
def test_an_instant_that_was_written_down_comes_back_to_the_minute(local: datetime) -> None:
    zone = ZoneInfo("Europe/Berlin")
    instant = local.replace(second=0, microsecond=0, tzinfo=zone).astimezone(UTC)
    found = moment(written(instant, START, zone), {}, START)
    assert found is not None
    assert found.instant(zone, time(0)).astimezone(zone).replace(fold=0) == instant.astimezone(zone).replace(fold=0)
