"""SQL and memory find the same rows, whatever the filter, and so does SQL that is made of its shape."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rota_chassis.filters.ast import (
    And,
    Comparison,
    Contains,
    Field,
    Filter,
    IsUnset,
    Kind,
    Not,
    OneOf,
    Operator,
    Or,
)
from rota_chassis.filters.predicate import predicate
from rota_chassis.filters.shape import shape_of
from rota_chassis.filters.sql import condition
from rota_chassis.postgres.statements import statement
from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Double, MetaData, Table, Text, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUUID

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

ROWS = Table(
    "rows",
    MetaData(),
    Column("place", BigInteger),
    Column("text", Text),
    Column("word", Text),
    Column("number", BigInteger),
    Column("flag", Boolean),
    Column("instant", DateTime(timezone=True)),
    Column("id", PgUUID),
    Column("ids", ARRAY(PgUUID)),
    Column("names", ARRAY(Text)),
    Column("decimal", Double),
    Column("day", Date),
)
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_VALUES: dict[str, tuple[Field, st.SearchStrategy[Any]]] = {
    "text": (Field("text", Kind.TEXT, nullable=True), st.text("aAbBzé\U0001f600 %_\\'", max_size=3)),
    "word": (Field("word", Kind.ENUM, nullable=True, choices=("low", "high")), st.sampled_from(["low", "high"])),
    "number": (Field("number", Kind.INTEGER, nullable=True), st.integers(-2, 2) | st.just(2**63 - 1)),
    "flag": (Field("flag", Kind.BOOLEAN, nullable=True), st.booleans()),
    "instant": (
        Field("instant", Kind.INSTANT, nullable=True),
        st.integers(-2, 2).map(lambda away: _NOON + timedelta(microseconds=away)),
    ),
    "decimal": (Field("decimal", Kind.NUMBER, nullable=True), st.sampled_from([-0.5, 0.0, 0.1, 3.0])),
    "day": (
        Field("day", Kind.DATE, nullable=True),
        st.integers(-1, 1).map(lambda away: _NOON.date() + timedelta(days=away)),
    ),
    "id": (Field("id", Kind.ID, nullable=True), st.integers(0, 2).map(lambda number: UUID(int=number))),
}
_MANY = {
    "ids": (Field("ids", Kind.IDS), st.integers(0, 2).map(lambda number: UUID(int=number))),
    "names": (Field("names", Kind.NAMES), st.sampled_from(["a", "A", ""])),
}


def _leaf(name: str) -> st.SearchStrategy[Filter]:
    field, values = (_VALUES | _MANY)[name]
    some = st.lists(values, max_size=3)
    leaves: list[st.SearchStrategy[Any]] = [
        st.just(IsUnset(field)),
        some.filter(lambda given: bool(given) or not field.kind.has_many).map(lambda given: OneOf(field, tuple(given))),
    ]
    if name in _VALUES:
        leaves.append(st.builds(Comparison, st.just(field), st.sampled_from(Operator), values))
    if name == "text":
        leaves.append(st.builds(Contains, st.just(field), values))
    return st.one_of(leaves)


FILTERS = st.recursive(
    st.sampled_from([*_VALUES, *_MANY]).flatmap(_leaf),
    lambda parts: (
        st.builds(Not, parts)
        | st.builds(And, st.lists(parts, min_size=1, max_size=3).map(tuple))
        | st.builds(Or, st.lists(parts, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=8,
)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {name: st.none() | values for name, (_, values) in _VALUES.items()}
        | {name: st.lists(values, max_size=2) for name, (_, values) in _MANY.items()}
    ),
    min_size=1,
    max_size=12,
)


def _holds(name: str) -> Any:
    def holds(wanted: ColumnElement[Any] | None) -> Any:
        column = ROWS.c[name]
        return func.cardinality(column) > 0 if wanted is None else column.overlap(wanted)

    return holds


async def test_sql_and_memory_agree_on_every_filter_and_row(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(
        "CREATE TEMP TABLE rows (place bigint, text text, word text, number bigint, flag boolean, "
        "instant timestamptz, id uuid, ids uuid[], names text[], decimal float8, day date)"
    )
    names = [column.name for column in ROWS.c]

    async def check(filters: list[Filter], records: list[dict[str, Any]]) -> None:
        await connection.execute("TRUNCATE rows")
        await connection.copy_records_to_table(
            "rows", records=[(place, *(row[name] for name in names[1:])) for place, row in enumerate(records)]
        )
        for found in filters:
            matches = predicate(found)
            expected = {place for place, row in enumerate(records) if matches(row)}
            shape, values = shape_of(found, lambda field: field.name == "word")
            for each, parameters in ((found, {}), (shape, values)):
                query = statement(
                    select(ROWS.c.place).where(
                        condition(
                            each, {name: ROWS.c[name] for name in _VALUES}, {name: _holds(name) for name in _MANY}
                        )
                    )
                )
                rows = await connection.fetch(query.sql, *query.given(parameters).arguments({}))
                assert {row["place"] for row in rows} == expected

    loop = asyncio.get_running_loop()

    @settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(FILTERS, min_size=1, max_size=5), RECORDS)
    def agree(filters: list[Filter], records: list[dict[str, Any]]) -> None:
        asyncio.run_coroutine_threadsafe(check(filters, records), loop).result(30)

    try:
        await asyncio.to_thread(agree)
    finally:
        await connection.close()
