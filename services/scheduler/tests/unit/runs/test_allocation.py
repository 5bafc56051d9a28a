"""How what is free is divided among runs."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rota_scheduler.runs.allocation import (
    NO_PLACE,
    SUPERSEDED,
    Candidate,
    ConcurrencyPolicy,
    Holder,
    RateLimit,
    Usage,
    WaitReason,
    allocation_of,
    allot,
    wait_reason,
)

HERE, ELSEWHERE = UUID(int=1), UUID(int=2)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
CANCEL, NEWEST, TURNS = (
    ConcurrencyPolicy.CANCEL_IN_PROGRESS,
    ConcurrencyPolicy.CANCEL_NEWEST,
    ConcurrencyPolicy.ROUND_ROBIN,
)


def run(number: int, **fields: Any) -> Candidate:
    """A run; numbers say who has waited longest."""
    values = {
        "workspace_id": HERE,
        "id": UUID(int=number),
        "schedule_id": UUID(int=number),
        "nominal_time": EPOCH + timedelta(seconds=number),
        "rank": number,
    }
    return Candidate(**values | fields)


def holder(number: int) -> Holder:
    return Holder(UUID(int=number), UUID(int=number), EPOCH + timedelta(seconds=number))


def usage(**fields: Any) -> Usage:
    running = defaultdict(int, fields.pop("running", {}))
    units = fields.pop("units", {})
    return Usage(running=running, units=units, free=fields.pop("free", dict(units)), **fields)


def started(runs: list[Candidate], taken: Usage, **how: Any) -> list[int]:
    return [each.int for each in allot(runs, taken, **{"limit": 100, **how}).starts]


def test_a_key_lets_as_many_start_as_it_has_places() -> None:
    runs = [run(number, key="oven", limit=3) for number in range(5)]
    assert started(runs, usage(running={(HERE, "oven"): 1})) == [0, 1]
    assert started(runs, usage(running={(ELSEWHERE, "oven"): 1})) == [0, 1, 2]


def test_a_pool_gives_no_more_units_than_it_has() -> None:
    runs = [run(number, resources={"gpus": 2}) for number in range(5)]
    assert started(runs, usage(units={(HERE, "gpus"): 5})) == [0, 1]
    assert started(runs, usage(units={(HERE, "gpus"): 5}, free={(HERE, "gpus"): 1})) == []


def test_who_waits_for_many_units_is_not_overtaken_for_ever_by_those_who_want_few() -> None:
    runs = [run(1, resources={"gpus": 3}), run(2, resources={"gpus": 1}), run(3, resources={"cpus": 1})]
    taken = usage(units={(HERE, "gpus"): 4, (HERE, "cpus"): 4}, free={(HERE, "gpus"): 2, (HERE, "cpus"): 4})
    assert started(runs, taken) == [3]


@pytest.mark.parametrize("units", [{}, {(HERE, "gpus"): 1}], ids=["gone", "too small"])
def test_who_can_never_start_keeps_nothing_from_others(units: Any) -> None:
    runs = [run(1, resources={"gpus": 2, "cpus": 1}), run(2, resources={"cpus": 1})]
    assert started(runs, usage(units={**units, (HERE, "cpus"): 1})) == [2]


def test_who_waits_for_its_key_keeps_no_units_from_others() -> None:
    runs = [run(1, key="oven", resources={"gpus": 2}), run(2, resources={"gpus": 1})]
    assert started(runs, usage(running={(HERE, "oven"): 1}, units={(HERE, "gpus"): 2})) == [2]


def test_a_rate_limit_lets_no_more_start_in_a_period() -> None:
    runs = [run(number, key="api", limit=100, rate=RateLimit(5, 60)) for number in range(5)]
    assert started(runs, usage(starts={(HERE, "api", 60): 3})) == [0, 1]
    assert started(runs, usage(starts={(HERE, "api", 60): 5})) == []


def test_the_groups_of_a_key_take_turns_from_the_one_that_has_waited_longest_for_one() -> None:
    runs = [run(number, key="oven", limit=4, policy=TURNS, group="busy") for number in range(9)]
    runs += [run(10, key="oven", limit=4, policy=TURNS, group="quiet"), run(11, key="oven", limit=4, policy=TURNS)]
    served = {(HERE, "oven", "busy"): EPOCH, (HERE, "oven", "quiet"): EPOCH + timedelta(seconds=1)}
    assert started(runs, usage(served=served)) == [11, 0, 10, 1]


def test_a_newer_run_takes_the_place_of_the_oldest() -> None:
    taken = usage(running={(HERE, "deploy"): 2}, holders={(HERE, "deploy"): [holder(2), holder(1)]})
    allotted = allot([run(3, key="deploy", limit=2, policy=CANCEL)], taken, limit=10)
    assert [each.int for each in allotted.starts] == [3]
    assert [(each.id.int, each.reason) for each in allotted.cancelled] == [(1, SUPERSEDED)]


def test_of_several_that_come_at_once_the_newest_stays() -> None:
    runs = [run(number, key="deploy", policy=CANCEL) for number in (2, 3, 4)]
    taken = usage(running={(HERE, "deploy"): 1}, holders={(HERE, "deploy"): [holder(1)]})
    allotted = allot(runs, taken, limit=10)
    assert [each.int for each in allotted.starts] == [4]
    assert [each.id.int for each in allotted.cancelled] == [1, 2, 3]


def test_an_older_run_does_not_take_the_place_of_a_newer_one() -> None:
    taken = usage(running={(HERE, "deploy"): 1}, holders={(HERE, "deploy"): [holder(9)]})
    allotted = allot([run(3, key="deploy", policy=CANCEL, has_begun=True)], taken, limit=10)
    assert allotted.starts == {}
    assert [each.id.int for each in allotted.cancelled] == [3]


def test_a_newer_run_ends_nobody_as_long_as_it_cannot_start() -> None:
    taken = usage(
        running={(HERE, "deploy"): 1}, holders={(HERE, "deploy"): [holder(1)]}, starts={(HERE, "deploy", 60): 1}
    )
    allotted = allot([run(3, key="deploy", policy=CANCEL, rate=RateLimit(1, 60))], taken, limit=10)
    assert (allotted.starts, allotted.cancelled) == ({}, [])


def test_the_newest_is_cancelled_when_there_is_no_place_unless_it_has_begun() -> None:
    runs = [run(1, key="sync", policy=NEWEST), run(2, key="sync", policy=NEWEST), run(3, key="sync", has_begun=True)]
    runs.append(run(4, key="sync", policy=NEWEST, has_begun=True))
    allotted = allot(runs, usage(), limit=10)
    assert [each.int for each in allotted.starts] == [1]
    assert [(each.id.int, each.reason) for each in allotted.cancelled] == [(2, NO_PLACE)]


def test_in_a_backlog_workspaces_take_turns_those_first_that_have_fewest() -> None:
    runs = [run(number, key="k", limit=100) for number in range(5)]
    runs.append(run(9, workspace_id=ELSEWHERE, key="k", limit=100))
    assert started(runs, usage(), limit=3) == [0, 1, 2]
    assert started(runs, usage(), limit=3, held={}) == [0, 9, 1]
    assert started(runs, usage(), limit=1, held={HERE: 1}) == [9]


@given(
    asked=st.lists(
        st.tuples(
            st.sampled_from(["", "a", "b"]),
            st.integers(1, 3),
            st.dictionaries(st.sampled_from(["x", "y", "z"]), st.integers(1, 4), max_size=3),
            st.sampled_from(list(ConcurrencyPolicy)),
        ),
        max_size=20,
    ),
    units=st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 6)),
    limit=st.integers(1, 10),
)
def test_no_more_is_ever_given_than_there_is(asked: list[Any], units: dict[str, int], limit: int) -> None:
    runs = [
        run(number, key=key or None, limit=2, resources=resources, policy=policy, has_begun=bool(number % 2))
        for number, (key, _, resources, policy) in enumerate(asked)
    ]
    allotted = allot(runs, usage(units={(HERE, name): number for name, number in units.items()}), limit=limit)
    chosen = list(allotted.starts.values())
    assert len(chosen) <= limit
    for name in ("x", "y", "z"):
        assert sum(each.resources.get(name, 0) for each in chosen) <= units.get(name, 0)
    for key in ("a", "b"):
        assert sum(each.key == key for each in chosen) <= 2
    assert not {each.id for each in chosen} & {each.id for each in allotted.cancelled}


@pytest.mark.parametrize(
    ("fields", "taken", "reason"),
    [
        ({"key": "oven"}, usage(running={(HERE, "oven"): 1}), WaitReason.CONCURRENCY),
        ({"key": "api", "rate": RateLimit(1, 5)}, usage(starts={(HERE, "api", 5): 1}), WaitReason.RATE_LIMIT),
        ({"resources": {"gpus": 1}}, usage(units={(HERE, "gpus"): 1}, free={(HERE, "gpus"): 0}), WaitReason.RESOURCES),
        ({"resources": {"gpus": 2}}, usage(units={(HERE, "gpus"): 1}), WaitReason.RESOURCE_POOL),
        ({"resources": {"gpus": 1}}, usage(), WaitReason.RESOURCE_POOL),
        ({"key": "oven", "resources": {"gpus": 1}}, usage(units={(HERE, "gpus"): 1}), None),
    ],
    ids=["key", "rate", "in use", "too small", "gone", "nothing"],
)
def test_a_run_knows_what_it_waits_for(fields: Any, taken: Usage, reason: WaitReason | None) -> None:
    assert wait_reason(run(1, **fields), taken) is reason


def test_what_shares_nothing_keeps_nothing() -> None:
    assert allocation_of(concurrency_key=None) is None
    assert allocation_of(concurrency_key="oven", concurrency_policy="queue") is None
    assert allocation_of(concurrency_key=None, rate_limit={"limit": 1, "period_s": 1}, concurrency_group="a") is None


def test_runs_that_wait_for_the_same_share_a_lane() -> None:
    first = allocation_of(concurrency_key=None, resources={"a": 1, "b": 2})
    second = allocation_of(concurrency_key=None, resources={"b": 1, "a": 1})
    third = allocation_of(concurrency_key=None, resources={"b": 1})
    assert first is not None and second is not None and third is not None  # noqa: PT018 (for the type checker)
    assert first["lane"] == second["lane"] != third["lane"]
