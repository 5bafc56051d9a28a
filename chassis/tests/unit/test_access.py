from __future__ import annotations

import pytest
from rota.options.v1 import options_pb2
from rota_chassis.errors import PermissionDenied, RotaError, Unauthenticated
from rota_chassis.identity import Principal
from rota_chassis.ids import uuid7
from rota_chassis.rpc.pipeline import _authorize

USER = Principal(user_id=uuid7(), workspace_id=uuid7())
ADMIN = Principal(user_id=uuid7(), workspace_id=uuid7(), role="admin")
SERVICE = Principal(service="tasks")
FOR_USER = Principal(user_id=uuid7(), workspace_id=uuid7(), service="tasks")

PUBLIC, USERS, ADMINS = options_pb2.ACCESS_PUBLIC, options_pb2.ACCESS_USER, options_pb2.ACCESS_ADMIN
INTERNAL = options_pb2.ACCESS_UNSPECIFIED


@pytest.mark.parametrize(
    ("access", "principal"),
    [
        *((PUBLIC, each) for each in (USER, ADMIN, SERVICE, FOR_USER)),
        *((USERS, each) for each in (USER, ADMIN, FOR_USER)),
        (ADMINS, ADMIN),
        *((INTERNAL, each) for each in (SERVICE, FOR_USER)),
    ],
)
def test_whoever_the_policy_names_may_call(access: int, principal: Principal) -> None:
    _authorize(access, principal)


@pytest.mark.parametrize(
    ("access", "principal", "error"),
    [
        (USERS, SERVICE, Unauthenticated),
        (ADMINS, SERVICE, Unauthenticated),
        (ADMINS, USER, PermissionDenied),
        (ADMINS, FOR_USER, PermissionDenied),
        (INTERNAL, USER, PermissionDenied),
        (INTERNAL, ADMIN, PermissionDenied),
    ],
)
def test_everyone_else_may_not(access: int, principal: Principal, error: type[RotaError]) -> None:
    with pytest.raises(error):
        _authorize(access, principal)
