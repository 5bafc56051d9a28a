"""The service's copy of users: fed by auth's events, completed by asking auth for who is missing.

Each profile carries a version, so that whichever way news arrive, and in whatever order, the newest stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from rota.auth.v1 import users_pb2, users_pb2_grpc

from rota_notifications.people import store
from rota_notifications.people.domain import Person

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import grpc
    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork


class Directory:
    """Finds people."""

    def __init__(self, database: Database, auth: grpc.aio.Channel) -> None:
        self._database = database
        self._auth = users_pb2_grpc.UserServiceStub(auth)

    def handlers(self) -> Mapping[str, Handler]:
        """The events that feed the copy, for `Runtime.consume`."""
        return {"user.registered": _on_user, "user.updated": _on_user}

    async def find(self, user_ids: Collection[UUID]) -> dict[UUID, Person]:
        """The users by id; who is missing does not exist.

        Args:
            user_ids: At most 200.

        Raises:
            Unavailable: someone is not known here, and auth cannot be asked now.
        """
        found = await store.among(self._database, user_ids)
        missing = [str(user_id) for user_id in user_ids if user_id not in found]
        if missing:
            answer = await self._auth.BatchGetUsers(users_pb2.BatchGetUsersRequest(ids=missing))
            people = [person_of(user) for user in answer.users]
            async with self._database.transaction() as work:
                await store.save(work, people)
            found |= {person.id: person for person in people}
        return found


def person_of(user: users_pb2.User) -> Person:
    """What of a profile matters here."""
    return Person(
        workspace_id=UUID(user.workspace_id),
        id=UUID(user.id),
        email=user.email,
        name=user.name,
        time_zone=user.time_zone,
        locale=user.locale,
        version=user.version,
    )


async def _on_user(work: UnitOfWork, event: Event) -> None:
    await store.save(work, [person_of(event.data.user)])
