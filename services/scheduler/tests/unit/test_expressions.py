"""What expressions of users mean, and that none of them costs much."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_scheduler.expressions import ExpressionError, evaluate, expand, expressions, is_true, read

VARIABLES = {
    "steps": {"a": {"output": {"x": 3, "names": ["ann", "bob"]}}},
    "input": {"y": "ann", "big": "x" * 60_000},
    "item": {"id": 7},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("steps.a.output.x + 1", 4),
        ("steps.a.output.x > 2 && input.y in steps.a.output.names", True),
        ("size(steps.a.output.names) == 2 ? 'two' : 'other'", "two"),
        ("has(steps.b)", False),
        ("input.y.startsWith('a')", True),
        ("string(item.id) + '!'", "7!"),
        ('{"k": [item.id, null]}', {"k": [7, None]}),
    ],
)
def test_an_expression_has_the_value_that_cel_gives_it(text: str, value: Any) -> None:
    assert evaluate(text, VARIABLES) == value


def test_a_string_that_is_one_expression_keeps_its_type() -> None:
    template = {"n": "${item.id}", "list": ["${steps.a.output.names}"], "text": "id ${item.id} of ${input.y}", "k": 1}
    assert expand(template, VARIABLES) == {"n": 7, "list": [["ann", "bob"]], "text": "id 7 of ann", "k": 1}


def test_what_is_not_a_string_is_written_as_json_within_text() -> None:
    assert expand("got ${steps.a.output}", VARIABLES) == 'got {"names":["ann","bob"],"x":3}'


def test_a_doubled_dollar_stands_for_itself() -> None:
    assert expand("$${item.id} ${item.id} $5", VARIABLES) == "${item.id} 7 $5"


def test_braces_within_an_expression_do_not_end_it() -> None:
    assert expand("${ {'a': '}'} }", VARIABLES) == {"a": "}"}


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("1 + ", 4),
        ("a ; b", 2),
        ("foo(1)", 0),
        ("1 + (2", 6),
        ("(1))", 3),
        ("x.map(y, y)", 2),
        ("'a'.matches('(a{999}){999}')", 4),
        ("'a' * 10 ** 9", 10),
        ('r"a"', 1),
        ('"""a"""', 2),
        ("1 // 2", 3),
        ("1" * 1001, 1000),
        ("(" * 33 + ")" * 33, 32),
        ("1" + "+1" * 65, 129),
    ],
)
def test_what_is_not_an_expression_is_refused_with_the_position(text: str, position: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        read(text)
    assert caught.value.position == position


def test_an_expression_tells_the_members_that_it_names_of_a_variable() -> None:
    text = "steps.a.output + input.steps.b + size(steps . c) + 'steps.d' + steps['e']"
    assert list(read(text).members_of("steps")) == ["a", "c"]


def test_the_position_counts_from_the_start_of_the_template() -> None:
    with pytest.raises(ExpressionError) as caught:
        list(expressions("hello ${1 + }"))
    assert caught.value.position == 12


@pytest.mark.parametrize("text", ["steps.b.output", "1 / 0", "1 + 'a'", "nobody", "9223372036854775807 + 1"])
def test_an_expression_without_a_value_says_so(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, VARIABLES)


def test_a_condition_is_true_or_false() -> None:
    assert is_true("item.id == 7", VARIABLES)
    with pytest.raises(ExpressionError):
        is_true("item.id", VARIABLES)


@pytest.mark.parametrize(
    "text",
    [
        "'a' * 1000000000",
        "[1,2,3].map(a, [1,2,3].map(b, [1,2,3].map(c, a)))",
        "+".join(["input.big"] * 60),
        "[" + ",".join(["input.big"] * 90) + "]",
        "[" * 500 + "]" * 500,
        "!" * 900 + "true",
        "-" * 900 + "1",
        "a?" * 200 + "1" + ":1" * 200,
        "1e999999999",
    ],
)
def test_expressions_that_explode_cost_little(text: str) -> None:
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(ExpressionError):
        evaluate(text, VARIABLES)
    took, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took < 1
    assert peak < 50_000_000


def test_many_expressions_in_one_text_are_bounded_together() -> None:
    with pytest.raises(ExpressionError):
        expand("${input.big} " * 10_000, VARIABLES)


@given(st.text(alphabet="ab.()[]{}'\"+-!?:,&| 01$", max_size=60))
def test_any_text_has_a_value_or_is_refused(text: str) -> None:
    with suppress(ExpressionError):
        evaluate(text, {"a": 1, "b": "x"})
        expand(f"${{{text}}}", {"a": 1, "b": "x"})
