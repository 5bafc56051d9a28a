from __future__ import annotations

import pytest
from rota_chassis.postgres.statements import statement, together
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    column,
    func,
    insert,
    select,
    table,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

THINGS = Table("things", MetaData(), Column("id", Integer, primary_key=True), Column("name", Text))


def test_parameters_become_positions() -> None:
    found = statement(select(THINGS.c.name).where(THINGS.c.id == bindparam("id"), THINGS.c.name != bindparam("name")))
    assert "$1" in found.sql
    assert "$2" in found.sql
    assert found.arguments({"name": "x", "id": 1}) == [1, "x"]


def test_the_same_parameter_twice_is_given_once() -> None:
    found = statement(select(THINGS).where((THINGS.c.id == bindparam("id")) | (THINGS.c.id > bindparam("id"))))
    assert found.arguments({"id": 1}) == [1]


def test_literals_are_defaults_that_a_call_may_not_need_to_give() -> None:
    found = statement(select(THINGS).where(THINGS.c.name == "fixed", THINGS.c.id == bindparam("id")).limit(3))
    assert found.arguments({"id": 1}) == ["fixed", 1, 3]


def test_a_default_gives_way_to_a_value() -> None:
    found = statement(select(THINGS).limit(bindparam("limit", 50)))
    assert found.arguments({}) == [50]
    assert found.arguments({"limit": 7}) == [7]


def test_none_is_a_value_and_not_a_missing_one() -> None:
    found = statement(update(THINGS).values(name=bindparam("name")))
    assert found.arguments({"name": None}) == [None]


def test_the_columns_of_an_insert_are_its_parameters() -> None:
    assert statement(insert(THINGS)).arguments({"name": "x", "id": 1}) == [1, "x"]


def test_an_upsert_takes_its_values_once() -> None:
    new = upsert(THINGS).values(id=bindparam("id"), name=bindparam("name"))
    found = statement(new.on_conflict_do_update(index_elements=[THINGS.c.id], set_={"name": new.excluded.name}))
    assert found.arguments({"id": 1, "name": "x"}) == [1, "x"]


def test_a_missing_parameter_is_named() -> None:
    found = statement(select(THINGS).where(THINGS.c.id == bindparam("id")))
    with pytest.raises(TypeError, match="needs the parameter 'id'"):
        found.arguments({})


def test_a_parameter_that_the_statement_does_not_have_is_named() -> None:
    found = statement(select(func.now()))
    with pytest.raises(TypeError, match=r"has no parameters \['id'\]"):
        found.arguments({"id": 1})


def test_what_is_given_beforehand_a_call_may_leave_out_or_give_anew() -> None:
    found = statement(select(THINGS).where(THINGS.c.id == bindparam("id")).limit(bindparam("limit")))
    given = found.given({"id": 1, "name": "of another"})
    assert given.sql is found.sql
    assert given.arguments({"limit": 3}) == [1, 3]
    assert given.arguments({"limit": 3, "id": 2}) == [2, 3]
    with pytest.raises(TypeError, match="needs the parameter 'id'"):
        found.arguments({"limit": 3})


def test_statements_of_one_shape_keep_their_own_values() -> None:
    found = [
        statement(select(THINGS).where(THINGS.c.name == name).limit(limit)) for name, limit in (("a", 1), ("b", 2))
    ]
    assert found[0].sql == found[1].sql
    assert [each.arguments({}) for each in found] == [["a", 1], ["b", 2]]


def test_a_statement_reads_what_a_part_of_it_gives() -> None:
    part = statement(select(THINGS.c.id).where(THINGS.c.name == "a").limit(bindparam("limit")))
    page = table("page", column("id", Integer))
    others = select(THINGS.c.id).where(THINGS.c.name == bindparam("name")).cte("others")
    for rest in (
        statement(select(page.c.id).where(page.c.id > 7, page.c.id < bindparam("limit"))),
        statement(select(page.c.id).join_from(page, others, page.c.id == others.c.id)),
    ):
        found = rest.reading("page", part)
        assert found.sql.startswith(f"WITH page AS ({part.sql})")
        assert found.sql.count("WITH") == 1
        given = {"limit": 5, **({"name": "b"} if "others" in found.sql else {})}
        assert found.arguments(given) == ["a", 5, *(["b"] if "others" in found.sql else [7, 5])]
        assert "$3" in found.sql
        with pytest.raises(TypeError, match="needs the parameter 'limit'"):
            found.arguments({name: value for name, value in given.items() if name != "limit"})


def test_a_statement_alone_stays_as_it_is() -> None:
    assert together(("INSERT INTO a VALUES ($1, $2)",)) == "INSERT INTO a VALUES ($1, $2)"


def test_parameters_of_later_statements_follow_those_of_earlier_ones() -> None:
    texts = ("INSERT INTO a VALUES ($1, $2, $1)", "INSERT INTO b VALUES ('x')", "INSERT INTO c VALUES ($2, $1)")
    assert together(texts) == (
        "WITH part_0 AS (INSERT INTO a VALUES ($1, $2, $1)), part_1 AS (INSERT INTO b VALUES ('x')) "
        "INSERT INTO c VALUES ($4, $3)"
    )
