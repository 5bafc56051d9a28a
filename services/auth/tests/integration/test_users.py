"""Profiles through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.auth.v1 import users_pb2
from rota_chassis.errors import InvalidArgument, PermissionDenied, PreconditionFailed, Unauthenticated

if TYPE_CHECKING:
    from conftest import Auth
    from rota.auth.v1.auth_pb2 import RegisterResponse


async def update(auth: Auth, grant: RegisterResponse, *paths: str, **fields: Any) -> users_pb2.User:
    mask = FieldMask(paths=paths or [name for name in fields if name != "if_match"])
    request = users_pb2.UpdateMeRequest(**fields, update_mask=mask)
    return (await auth.users.UpdateMe(request, metadata=auth.calling(grant))).user


async def get(auth: Auth, grant: RegisterResponse) -> users_pb2.User:
    return (await auth.users.GetMe(users_pb2.GetMeRequest(), metadata=auth.calling(grant))).user


async def test_a_change_shows_at_once_although_profiles_are_cached(auth: Auth) -> None:
    grant = await auth.register()
    for name in ("Ada Lovelace", "Ada King"):
        await get(auth, grant)
        changed = await update(auth, grant, name=name)
        assert await get(auth, grant) == changed
        assert changed.name == name
    assert (changed.version, changed.etag) == (3, '"v3"')


async def test_absent_keeps_and_null_clears(auth: Auth) -> None:
    grant = await auth.register()
    moved = await update(auth, grant, time_zone="Europe/Warsaw", locale="pl")
    assert (moved.name, moved.time_zone, moved.locale) == ("Ada", "Europe/Warsaw", "pl")
    cleared = await update(auth, grant, "time_zone")
    assert (cleared.name, cleared.time_zone, cleared.locale) == ("Ada", "UTC", "pl")


async def test_a_change_is_told_to_the_others(auth: Auth) -> None:
    grant = await auth.register()
    changed = await update(auth, grant, name="Ada Lovelace")
    event = (await auth.events(grant.workspace.id))[-1]
    assert (event["type"], event["aggregate_version"]) == ("user.updated", 2)
    assert str(event["aggregate_id"]) == grant.user.id
    assert event["data"]["user"]["name"] == changed.name


async def test_nothing_is_written_when_nothing_differs(auth: Auth) -> None:
    grant = await auth.register()
    before = [row["id"] for row in await auth.events(grant.workspace.id)]
    assert await update(auth, grant, name="Ada", locale="en") == grant.user
    assert await update(auth, grant) == grant.user
    assert [row["id"] for row in await auth.events(grant.workspace.id)] == before


@pytest.mark.parametrize(
    ("path", "value"), [("name", ""), ("name", "  "), ("time_zone", "Mars/Olympus"), ("locale", "not a tag")]
)
async def test_a_wrong_value_names_its_field(auth: Auth, path: str, value: str) -> None:
    grant = await auth.register()
    with pytest.raises(InvalidArgument) as caught:
        await update(auth, grant, **{path: value})
    assert [violation.field for violation in caught.value.violations] == [path]


async def test_a_field_that_is_not_the_users_to_change_is_refused(auth: Auth) -> None:
    grant = await auth.register()
    for path in ("role", "email", "if_match", "update_mask"):
        with pytest.raises(InvalidArgument):
            await update(auth, grant, path)
    assert await get(auth, grant) == grant.user


async def test_a_change_of_another_version_than_the_callers_is_refused(auth: Auth) -> None:
    grant = await auth.register()
    changed = await update(auth, grant, name="Grace", if_match='"v1"')
    with pytest.raises(PreconditionFailed) as caught:
        await update(auth, grant, name="Edsger", if_match='"v1"')
    assert caught.value.code == "ETAG_MISMATCH"
    assert await get(auth, grant) == changed
    assert (await update(auth, grant, name="Edsger", if_match="*")).name == "Edsger"


async def test_of_concurrent_changes_of_one_version_one_wins(auth: Auth) -> None:
    grant = await auth.register()
    answers = await asyncio.gather(
        *(update(auth, grant, name=f"Ada {number}", if_match='"v1"') for number in range(5)), return_exceptions=True
    )
    assert len([answer for answer in answers if isinstance(answer, users_pb2.User)]) == 1
    assert (await get(auth, grant)).version == 2


async def test_a_token_that_outlived_its_user_is_refused(auth: Auth) -> None:
    grant = await auth.register()
    await auth.database.execute("DELETE FROM memberships WHERE user_id = $1::uuid", grant.user.id)
    async with auth.database.transaction():
        await auth.database.execute("ALTER TABLE workspaces DISABLE TRIGGER ALL")
        await auth.database.execute("ALTER TABLE users DISABLE TRIGGER ALL")
        await auth.database.execute("DELETE FROM users WHERE id = $1::uuid", grant.user.id)
        await auth.database.execute("ALTER TABLE users ENABLE TRIGGER ALL")
        await auth.database.execute("ALTER TABLE workspaces ENABLE TRIGGER ALL")
    for call in (get(auth, grant), update(auth, grant, name="Ghost")):
        with pytest.raises(Unauthenticated):
            await call


async def test_the_other_services_look_up_many_profiles_at_once(auth: Auth) -> None:
    ada, grace = await auth.register(), await auth.register(name="Grace")
    ids = [ada.user.id, grace.user.id, str(uuid4())]
    answer = await auth.users.BatchGetUsers(users_pb2.BatchGetUsersRequest(ids=ids))
    assert {user.id: user for user in answer.users} == {ada.user.id: ada.user, grace.user.id: grace.user}
    with pytest.raises(PermissionDenied):
        await auth.users.BatchGetUsers(users_pb2.BatchGetUsersRequest(ids=ids), metadata=auth.calling(ada))
