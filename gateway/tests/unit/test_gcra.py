from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rota_gateway.ratelimit.gcra import MICROSECONDS, Quota, take

QUOTAS = st.builds(Quota, st.just("read"), st.integers(1, 1000), st.integers(1, 3600))


def test_a_quota_may_be_used_at_once_and_comes_back_evenly() -> None:
    quota = Quota("write", 3, 60)
    arrival = 0
    for remaining in (2, 1, 0):
        grant, arrival = take(quota, arrival, MICROSECONDS)
        assert (grant.granted, grant.remaining, grant.wait_us) == (1, remaining, 0)
    grant, arrival = take(quota, arrival, MICROSECONDS)
    assert (grant.granted, grant.wait_us) == (0, 20 * MICROSECONDS)
    grant, arrival = take(quota, arrival, 21 * MICROSECONDS)
    assert (grant.granted, grant.remaining) == (1, 0)


def test_several_calls_may_be_taken_at_once_but_never_more_than_there_are() -> None:
    quota = Quota("read", 10, 10)
    grant, arrival = take(quota, 0, 0, wanted=7)
    assert (grant.granted, grant.remaining) == (7, 3)
    grant, _ = take(quota, arrival, 0, wanted=7)
    assert (grant.granted, grant.remaining) == (3, 0)


@given(QUOTAS, st.lists(st.tuples(st.integers(0, 10_000_000), st.integers(1, 50)), max_size=100))
def test_no_more_is_granted_than_the_quota_and_what_has_come_back(quota: Quota, calls: list[tuple[int, int]]) -> None:
    now = begun = 1_000_000_000
    arrival = granted = 0
    for pause, wanted in calls:
        now += pause
        grant, arrival = take(quota, arrival, now, wanted)
        granted += grant.granted
        assert 0 <= grant.granted <= wanted
        assert grant.granted or grant.wait_us > 0
        assert granted <= quota.limit + (now - begun) // quota.interval_us


@given(QUOTAS, st.integers(1, 2000))
def test_a_call_made_after_the_wait_is_granted(quota: Quota, wanted: int) -> None:
    _, arrival = take(quota, 0, 0, wanted=max(wanted, quota.limit))
    refused, arrival = take(quota, arrival, 0)
    assert refused.granted == 0
    assert take(quota, arrival, refused.wait_us)[0].granted == 1
    assert take(quota, arrival, refused.wait_us - 1)[0].granted == 0


def test_a_share_of_a_quota_is_at_least_one_call() -> None:
    assert Quota("credential", 10, 60).share(0.2) == Quota("credential", 2, 60)
    assert Quota("credential", 1, 60).share(0.2) == Quota("credential", 1, 60)
