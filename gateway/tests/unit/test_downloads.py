"""The names of files in answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_gateway.downloads import content_disposition
from rota_gateway.uploads import file_name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a b.txt", b'attachment; filename="a b.txt"'),
        ("\u20ac.txt", b"attachment; filename=\"_.txt\"; filename*=UTF-8''%E2%82%AC.txt"),
        ('a"\\.txt', b"attachment; filename=\"a__.txt\"; filename*=UTF-8''a%22%5C.txt"),
        ("100%25.txt", b"attachment; filename=\"100_25.txt\"; filename*=UTF-8''100%2525.txt"),
    ],
    ids=ascii,
)
def test_a_name_is_said_to_old_clients_and_new_ones(name: str, value: bytes) -> None:
    assert content_disposition(name, inline=False) == value


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1))
def test_every_name_comes_back_and_adds_no_header(name: str) -> None:
    value = content_disposition(name, inline=True).decode()
    assert not {"\r", "\n"} & set(value)
    assert value.startswith("inline; ")
    assert file_name(value) == name
