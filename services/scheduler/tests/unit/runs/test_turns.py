"""Whether claims by rank serve those who wait about evenly."""

from __future__ import annotations

import pytest
from rota_chassis.ids import uuid7
from rota_scheduler.runs.turns import is_uneven

CROWD, SMALL = uuid7(), uuid7()


@pytest.mark.parametrize(
    ("crowd", "small", "expected"),
    [(100, 0, True), (76, 24, True), (75, 25, False), (50, 50, False), (0, 0, False)],
    ids=str,
)
def test_less_than_half_of_a_share_is_uneven(crowd: int, small: int, *, expected: bool) -> None:
    assert is_uneven({CROWD: crowd, SMALL: small}, [CROWD, SMALL]) is expected


def test_nobody_is_served_unevenly_who_is_alone_or_does_not_wait() -> None:
    assert not is_uneven({CROWD: 100}, [CROWD])
    assert not is_uneven({CROWD: 100}, [])
    assert not is_uneven({CROWD: 90, SMALL: 10}, [CROWD])
