from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_chassis.errors import InvalidArgument
from rota_chassis.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, PageTokens, page_size

TOKENS = PageTokens("a secret of the services, long enough")
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT | st.floats(allow_nan=False).filter(abs)
LISTS = st.lists(VALUES.filter(lambda value: value not in (float("inf"), float("-inf"))), max_size=5)


@dataclass
class Asked:
    page_size: int = 0
    page_token: str = ""


@given(LISTS, LISTS)
def test_a_token_holds_the_cursor_for_the_list_it_was_made_for(cursor: list[object], bound_to: list[object]) -> None:
    token = TOKENS.encode(cursor, bound_to=bound_to)
    assert TOKENS.decode(token, bound_to=bound_to) == cursor
    assert token.replace("-", "").replace("_", "").isalnum()


@given(LISTS, LISTS, LISTS)
def test_a_token_works_for_no_other_list(cursor: list[object], bound_to: list[object], other: list[object]) -> None:
    token = TOKENS.encode(cursor, bound_to=bound_to)
    if repr(other) != repr(bound_to):
        with pytest.raises(InvalidArgument):
            TOKENS.decode(token, bound_to=other)


@given(LISTS, st.data())
def test_a_token_with_one_bit_changed_is_refused(cursor: list[object], data: st.DataObject) -> None:
    token = TOKENS.encode(cursor, bound_to=["tasks"])
    raw = bytearray(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidArgument):
        TOKENS.decode(urlsafe_b64encode(raw).decode().rstrip("="), bound_to=["tasks"])


@given(st.text())
def test_what_was_not_made_here_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        TOKENS.decode(token, bound_to=["tasks"])
    assert caught.value.code == "INVALID_PAGE_TOKEN"
    assert [violation.field for violation in caught.value.violations] == ["page_token"]


def test_a_token_under_another_secret_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        PageTokens("another secret").decode(TOKENS.encode([1], bound_to=[]), bound_to=[])


def test_ids_and_times_travel_as_strings() -> None:
    cursor = [UUID(int=7), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)]
    decoded = TOKENS.decode(TOKENS.encode(cursor, bound_to=[UUID(int=1)]), bound_to=[str(UUID(int=1))])
    assert decoded == [str(UUID(int=7)), "2026-01-02T03:04:05+00:00"]


@pytest.mark.parametrize(("requested", "size"), [(0, DEFAULT_PAGE_SIZE), (1, 1), (200, 200), (201, MAX_PAGE_SIZE)])
def test_a_page_has_as_many_rows_as_asked_within_bounds(requested: int, size: int) -> None:
    assert page_size(requested) == size


@given(st.integers(0, 30), st.integers(1, 7))
def test_the_pages_of_a_list_are_all_of_it_once(rows: int, size: int) -> None:
    read, token, sizes = [], "", []
    while token or not sizes:
        page = TOKENS.page(Asked(size, token), bound_to=["rows"])
        behind = page.cursor(int)
        start = 0 if behind is None else behind + 1
        shown, token = page.cut(list(range(rows))[start : start + page.limit], lambda last: [last])
        read += shown
        sizes.append(len(shown))
    assert read == list(range(rows))
    assert sizes[:-1] == [size] * (len(sizes) - 1)
    assert sizes[-1] > 0 or rows == 0


def test_a_page_begins_behind_every_part_of_the_key_of_the_row_before() -> None:
    rows = [("b", UUID(int=1)), ("b", UUID(int=2))]
    _, token = TOKENS.page(Asked(1), bound_to=["rows"]).cut(rows, lambda last: last)
    assert TOKENS.page(Asked(1, token), bound_to=["rows"]).cursor(lambda name, row: (name, UUID(row))) == rows[0]


def test_a_page_of_another_list_is_refused() -> None:
    _, token = TOKENS.page(Asked(1), bound_to=["rows"]).cut([1, 2], lambda last: [last])
    with pytest.raises(InvalidArgument):
        TOKENS.page(Asked(1, token), bound_to=["lines"])
