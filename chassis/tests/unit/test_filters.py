"""The filter language: what it means, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from rota_chassis.errors import InvalidArgument
from rota_chassis.filters.ast import Comparison, Field, Filter, Kind
from rota_chassis.filters.literals import Context
from rota_chassis.filters.parser import parse
from rota_chassis.filters.predicate import predicate
from rota_chassis.filters.shape import shape_of

ME = UUID(int=7)
NOW = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
CONTEXT = Context(NOW, UTC, ME)
SCHEMA = {
    field.name: field
    for field in (
        Field("title", Kind.TEXT),
        Field("priority", Kind.ENUM, choices=("none", "low", "high")),
        Field("progress", Kind.INTEGER, nullable=True),
        Field("fields.cost", Kind.NUMBER, nullable=True),
        Field("fields.day", Kind.DATE, nullable=True),
        Field("due_at", Kind.INSTANT, nullable=True),
        Field("remind_at", Kind.INSTANT, nullable=True),
        Field("is_blocked", Kind.BOOLEAN),
        Field("owner", Kind.ID, nullable=True),
        Field("blocked_by", Kind.IDS),
        Field("label", Kind.NAMES, key=str.casefold),
    )
}
ROW = {
    "title": 'Say "hi"',
    "priority": "low",
    "progress": None,
    "fields.cost": 12.5,
    "fields.day": NOW.date(),
    "due_at": NOW,
    "is_blocked": True,
    "owner": ME,
    "blocked_by": (UUID(int=1),),
    "label": {"garden"},
}


def holds(text: str) -> bool:
    return predicate(parse(text, SCHEMA, CONTEXT))(ROW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('title = "Say \\"hi\\""', True),
        ("title : SAY AND title : 'HI'", True),
        ("priority >= low", True),
        ("priority < low", False),
        ("priority : low", True),
        ("priority IN (none, high)", False),
        ("progress = 0", False),
        ("fields.cost = 12.50", True),
        ("fields.cost > -3", True),
        ("fields.day = today", True),
        ("fields.day < 2026-03-29", True),
        ("fields.day <= yesterday", False),
        ("progress != 0", False),
        ("NOT progress = 0", True),
        ("progress IS NULL", True),
        ("progress is not null", False),
        ("progress = null OR title = x", True),
        ("progress > -5", False),
        ("due_at <= now", True),
        ("due_at > now - 1h AND due_at < now+1m", True),
        ("due_at >= today AND due_at < tomorrow", True),
        ("due_at < yesterday", False),
        ("due_at = 2026-03-28T23:30:00Z", True),
        ("due_at = 2026-03-29T00:30:00+01:00", True),
        ("due_at > 2026-03-28", False),
        ("due_at > 2026-03-27", True),
        ("due_at >= 2026-03-28", True),
        ("due_at < 2026-03-28", False),
        ("due_at <= 2026-03-28", True),
        ("due_at = 2026-03-28", True),
        ("due_at != 2026-03-28", False),
        ("due_at : today", True),
        ("due_at = today - 1d", False),
        ("due_at != tomorrow", True),
        ("due_at = today+1h", False),
        ("due_at IN (yesterday, today)", True),
        ("due_at IN (yesterday, now, tomorrow)", True),
        ("due_at IN (tomorrow, 2026-03-28T23:30:01Z)", False),
        ("NOT due_at = today", False),
        ("remind_at != today", False),
        ("NOT remind_at = today", True),
        ("is_blocked = true", True),
        ("owner = me", True),
        ("owner(me)", True),
        ("blocked_by(00000000-0000-0000-0000-000000000001)", True),
        ("blocked_by : 00000000-0000-0000-0000-000000000002", False),
        ("blocked_by != 00000000-0000-0000-0000-000000000002", True),
        ("label = GARDEN AND NOT label IN (house, 'car')", True),
        ("label = null", False),
        ("-label = garden", False),
        ("is_blocked = false AND title = x OR owner = me", True),
        ("is_blocked = false AND (title = x OR owner = me)", False),
    ],
)
def test_a_filter_means_what_it_says(text: str, *, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("size = 3", 0),
        ("title", 5),
        ("title =", 7),
        ("title = 'x", 8),
        ("title = x y", 10),
        ("title = x AND", 13),
        ("(title = x", 10),
        ("title = x)", 9),
        ("priority = urgent", 11),
        ("progress = many", 11),
        ("progress = 99999999999999999999", 11),
        ("due_at < now+9999999w", 9),
        ("due_at < now+7y", 9),
        ("due_at < soon", 9),
        ("owner > me", 6),
        ("owner = you", 8),
        ("is_blocked = maybe", 13),
        ("label IN ()", 10),
        ("title(x)", 5),
        ("title IS x", 9),
        ("title = x & 1 = 1", 10),
        ("title = 'a\0'", 10),
    ],
)
def test_what_is_not_a_filter_is_refused_with_its_position(text: str, position: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text, SCHEMA, CONTEXT)
    assert caught.value.code == "INVALID_FILTER"
    assert caught.value.metadata["position"] == str(position)
    assert [each.field for each in caught.value.violations] == ["filter"]
    assert "expected" in caught.value.violations[0].description


@pytest.mark.parametrize(
    "text",
    [
        "title = '" + "x" * 100_000 + "'",
        "(" * 10_000 + "title = x" + ")" * 10_000,
        "(" * 1_000 + "title = x" + ")" * 1_000,
        "-" * 4_000 + "title=x",
        "NOT " * 1_000 + "title=x",
        "label IN (" + "x," * 1_500 + "x)",
        "title=x OR " * 350 + "title=x",
    ],
    ids=["long", "deepest", "deep", "minus", "not", "values", "terms"],
)
def test_a_filter_that_would_cost_much_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text, SCHEMA, CONTEXT)
    assert caught.value.code == "INVALID_FILTER"


def test_fifty_levels_are_read() -> None:
    assert holds("(" * 49 + "owner = me" + ")" * 49)


def test_days_begin_where_the_zone_says_whatever_the_clocks_do() -> None:
    # In Warsaw it is the 29th, a day of 23 hours.
    there = Context(NOW, ZoneInfo("Europe/Warsaw"))
    assert _instant("today", there) == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert _instant("tomorrow", there) == datetime(2026, 3, 29, 22, tzinfo=UTC)
    assert _instant("today+1d", there) == _instant("tomorrow", there)
    assert _instant("today+1h", there) == _instant("today", there) + timedelta(hours=1)
    assert _instant("2026-03-30", there) == datetime(2026, 3, 29, 22, tzinfo=UTC)
    assert _instant("now+1d", there) == NOW + timedelta(days=1)


def test_a_day_ends_where_the_zone_says() -> None:
    there = Context(NOW, ZoneInfo("Europe/Warsaw"))
    on = predicate(parse("due_at = today", SCHEMA, there))
    first, beyond = datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)
    moment = timedelta(microseconds=1)
    assert [on({"due_at": at}) for at in (first - moment, first, beyond - moment, beyond)] == [False, True, True, False]
    last = predicate(parse("due_at <= 9999-12-31", SCHEMA, Context(NOW, ZoneInfo("Pacific/Pago_Pago"))))
    assert last({"due_at": datetime.max.replace(tzinfo=UTC)})


def test_filters_that_differ_in_values_alone_have_one_shape() -> None:
    def shape(text: str) -> tuple[Filter, dict[str, Any]]:
        return shape_of(parse(text, SCHEMA, CONTEXT), lambda field: field.name == "fields.cost")

    one, values = shape('title : hi AND (priority IN (low, high) OR NOT label = "garden") AND progress > 3')
    other, others = shape('title : ho AND (priority IN (none, high) OR NOT label = "house") AND progress > 4')
    assert one == other
    assert list(values.values()) == ["hi", "low", "high", "garden", 3]
    assert list(others.values()) == ["ho", "none", "high", "house", 4]
    assert values.keys() == others.keys()
    for text in ("title = hi", "progress < 3", "progress = null", "priority IN (none, low, high)", "priority = low"):
        assert shape(text)[0] != one
    assert shape("progress = null") == (parse("progress = null", SCHEMA, CONTEXT), {})


def test_a_field_on_whose_values_more_depends_keeps_them_in_the_shape() -> None:
    found = parse("fields.cost = 3", SCHEMA, CONTEXT)
    assert shape_of(found, lambda field: field.name == "fields.cost") == (found, {})


def _instant(text: str, context: Context) -> object:
    found = parse(f"due_at < {text}", SCHEMA, context)
    assert isinstance(found, Comparison)
    return found.value
