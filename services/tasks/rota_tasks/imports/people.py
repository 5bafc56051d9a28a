"""Who the people in a file are."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from rota.auth.v1 import users_pb2, users_pb2_grpc

from rota_tasks.imports import store
from rota_tasks.imports.domain import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import grpc
    from rota_chassis.postgres.database import Database

    from rota_tasks.imports.domain import Import

_MAX_MEMBERS = 5_000
_AT_ONCE = 200


class People:
    """The members of a workspace by what a file calls them: what the import says, their address, or their id.

    Attributes:
        problems: Addresses in the import that no member has.
    """

    def __init__(self, known: Mapping[str, UUID], problems: Sequence[Problem]) -> None:
        self._known = known
        self._missed: set[str] = set()
        self.problems = problems

    def find(self, name: str) -> UUID | None:
        """The member, if any."""
        return self._known.get(name.strip().casefold())

    def first_miss(self, name: str) -> bool:
        """Whether it is the first time that nobody is found for this name."""
        if name in self._missed:
            return False
        self._missed.add(name)
        return True


async def people_of(database: Database, auth: grpc.aio.Channel, job: Import) -> People:
    """The people of an import's workspace.

    Raises:
        Unavailable: auth, which knows their addresses, does not answer.
    """
    ids = [str(each) for each in await store.members(database, job.workspace_id, limit=_MAX_MEMBERS)]
    users = users_pb2_grpc.UserServiceStub(auth)
    members = {each: each for each in ids}
    for start in range(0, len(ids), _AT_ONCE):
        answer = await users.BatchGetUsers(users_pb2.BatchGetUsersRequest(ids=ids[start : start + _AT_ONCE]))
        members |= {user.email.casefold(): user.id for user in answer.users if user.email}
    problems = []
    for name, email in job.people.items():
        found = members.get(email.strip().casefold())
        if found is None:
            problems.append(Problem("", "PERSON_NOT_A_MEMBER", f"No member of the workspace has the address {email}."))
        else:
            members[name.strip().casefold()] = found
    return People({name: UUID(each) for name, each in members.items()}, problems)
