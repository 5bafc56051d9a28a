from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rota_chassis.clock import Clock, SystemClock
from rota_chassis.ids import uuid7
from rota_chassis.testing.clock import ManualClock


def test_clocks_tell_aware_instants_in_utc() -> None:
    clocks: list[Clock] = [SystemClock(), ManualClock()]
    assert [clock.now().tzinfo for clock in clocks] == [UTC, UTC]
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_manual_clock_stands_until_it_is_moved() -> None:
    clock = ManualClock()
    before = clock.now()
    assert clock.now() == before
    clock.advance(1.5)
    assert clock.now() - before == timedelta(seconds=1.5)
    clock.set(before)
    assert clock.now() == before


def test_ids_are_version_7_and_sort_by_when_they_were_made() -> None:
    ids = [uuid7() for _ in range(1_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {each.version for each in ids} == {7}
