"""Short keys."""

from __future__ import annotations

from itertools import islice

import pytest
from rota_tasks.keys.domain import candidates, parse


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Home", ["HOME", "HOME2", "HOME3"]),
        ("Move house", ["MH", "MH2", "MH3"]),
        ("Küche", ["KUCHE", "KUCHE2", "KUCHE3"]),
        ("Renovation", ["RENOVA", "RENOVA2", "RENOVA3"]),
        ("2027", ["PROJ", "PROJ2", "PROJ3"]),
        ("3D printer", ["P2", "P3", "P4"]),
        ("家", ["PROJ", "PROJ2", "PROJ3"]),
        ("x", ["X2", "X3", "X4"]),
    ],
    ids=["word", "words", "marks", "long", "digits", "digit-first", "other-script", "letter"],
)
def test_the_key_of_a_project_is_made_from_its_name(name: str, first: list[str]) -> None:
    assert list(islice(candidates(name), 3)) == first


def test_there_is_always_another_key_and_none_is_too_long() -> None:
    keys = list(islice(candidates("Renovation"), 12_000))
    assert len(set(keys)) == len(keys)
    assert max(map(len, keys)) <= 10


def test_a_key_is_read_whatever_its_case() -> None:
    assert parse(" home-12 ") == ("HOME", 12)
    assert [parse(each) for each in ("HOME", "HOME-", "HOME-0", "HOME-1x", "H-1", "1HOME-1", "HOME-1234567890")] == [
        None
    ] * 7
