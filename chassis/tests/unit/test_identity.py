from __future__ import annotations

import asyncio

import pytest
from rota_chassis.errors import Unauthenticated
from rota_chassis.identity import Principal, UserPrincipal, acting_as, current_principal, require_user
from rota_chassis.ids import uuid7

USER, WORKSPACE, SESSION = uuid7(), uuid7(), uuid7()
ADA = Principal(user_id=USER, workspace_id=WORKSPACE, role="admin", session_id=SESSION)


def test_outside_of_a_request_nobody_calls() -> None:
    assert current_principal() is None
    with pytest.raises(Unauthenticated):
        require_user()


def test_within_the_block_the_principal_calls() -> None:
    with acting_as(ADA):
        assert current_principal() == ADA
        assert require_user() == UserPrincipal(USER, WORKSPACE, "admin", SESSION)
    assert current_principal() is None


def test_the_caller_is_restored_after_an_error() -> None:
    def fail() -> None:
        with acting_as(Principal(service="tasks")):
            raise LookupError

    with acting_as(ADA):
        with pytest.raises(LookupError):
            fail()
        assert current_principal() == ADA


def test_a_service_alone_is_no_user() -> None:
    with acting_as(Principal(service="tasks")), pytest.raises(Unauthenticated):
        require_user()


def test_a_service_that_acts_for_a_user_calls_as_the_user() -> None:
    with acting_as(Principal(user_id=USER, workspace_id=WORKSPACE, service="scheduler")):
        assert require_user().user_id == USER


def test_a_user_without_a_workspace_is_not_enough() -> None:
    with acting_as(Principal(user_id=USER)), pytest.raises(Unauthenticated):
        require_user()


def test_the_actor_is_the_user_if_there_is_one() -> None:
    assert ADA.actor == f"user:{USER}"
    assert Principal(user_id=USER, service="scheduler").actor == f"user:{USER}"
    assert Principal(service="scheduler").actor == "service:scheduler"


async def test_requests_at_the_same_time_have_callers_of_their_own() -> None:
    async def call(principal: Principal) -> Principal | None:
        with acting_as(principal):
            await asyncio.sleep(0)
            return current_principal()

    callers = [Principal(service=f"service-{number}") for number in range(10)]
    assert await asyncio.gather(*map(call, callers)) == callers
