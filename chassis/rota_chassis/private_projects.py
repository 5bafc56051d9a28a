"""A service's own copy of which projects are private, and of who is named in them.

Tasks is authoritative. The copy is fed by its events, of which the newest version stays, in whatever order they
arrive; what is known of a project that is not private stays too, so that older news cannot hide it again. A private
project that was deleted stays private, for what is left of it. When tasks has not been asked about a workspace yet, it
is, once: a service that starts with an old stream knows what the events before it said.

Who may see a project: the owner and the admins of its workspace; whoever is named in it; everybody else in the
workspace unless it is private. Whoever has left the workspace sees nothing of it.

Events of projects and events of what is in them are handled side by side, by any replica. So whoever wants to know who
may see what an event tells of waits until the copy has all that was published before that event: the copy has a durable
consumer of its own, which says how far it is. Nobody waits, and nobody is asked, in a transaction: see `AskFirst`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from grpc import StatusCode
from grpc.aio import AioRpcError
from nats.errors import Error as NatsError
from rota.tasks.v1 import (
    locations_pb2,
    locations_pb2_grpc,
    project_members_pb2,
    project_members_pb2_grpc,
    projects_pb2,
)
from sqlalchemy import (
    Boolean,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PgUUID

from rota_chassis.errors import RotaError, Unavailable
from rota_chassis.events.consumer import AskFirst, Consumer
from rota_chassis.events.stream import EVENTS_STREAM
from rota_chassis.memberships import ADMIN, MEMBERSHIPS, OWNER
from rota_chassis.postgres.statements import statement

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import grpc
    from nats.aio.client import Client
    from sqlalchemy import ColumnElement

    from rota_chassis.events.consumer import Handler
    from rota_chassis.events.envelope import Event
    from rota_chassis.memberships import Memberships
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import Reader, UnitOfWork

SEES_ALL = frozenset({OWNER, ADMIN})
"""Roles in a workspace whose holders see every project of it."""
WAIT_S = 5.0
_LOOK_EVERY_S = 0.02
_TIMEOUT_S = 2.0
_KEPT = 100_000
_EVENTS = (
    "project.created",
    "project.updated",
    "project.deleted",
    "project.member_added",
    "project.member_changed",
    "project.member_removed",
)

_METADATA = MetaData()
PRIVATE_PROJECTS = Table(
    "private_projects",
    _METADATA,
    Column("workspace_id", PgUUID, primary_key=True),
    Column("project_id", PgUUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("private", Boolean, nullable=False),
    Column("member_ids", ARRAY(PgUUID), nullable=False),
)
_ASKED = Table("private_projects_asked", _METADATA, Column("workspace_id", PgUUID, primary_key=True))
_NEW = insert(PRIVATE_PROJECTS).values({column.name: bindparam(column.name) for column in PRIVATE_PROJECTS.c})
_UPSERT = statement(
    _NEW.on_conflict_do_update(
        index_elements=[PRIVATE_PROJECTS.c.workspace_id, PRIVATE_PROJECTS.c.project_id],
        set_={name: _NEW.excluded[name] for name in ("version", "private", "member_ids")},
        where=PRIVATE_PROJECTS.c.version < _NEW.excluded.version,
    )
)
_WORKSPACE = bindparam("workspace_id", type_=PgUUID)
_PRIVATE_AMONG = statement(
    select(PRIVATE_PROJECTS.c.member_ids).where(
        PRIVATE_PROJECTS.c.workspace_id == _WORKSPACE,
        PRIVATE_PROJECTS.c.project_id == func.any(bindparam("project_ids", type_=ARRAY(PgUUID))),
        PRIVATE_PROJECTS.c.private,
    )
)
_STANDING = statement(
    select(MEMBERSHIPS.c.user_id, MEMBERSHIPS.c.role, MEMBERSHIPS.c.removed).where(
        MEMBERSHIPS.c.workspace_id == _WORKSPACE,
        MEMBERSHIPS.c.user_id == func.any(bindparam("user_ids", type_=ARRAY(PgUUID))),
    )
)
_WAS_ASKED = statement(select(_ASKED.c.workspace_id).where(_ASKED.c.workspace_id == _WORKSPACE))
_NOTE = statement(insert(_ASKED).values(workspace_id=_WORKSPACE).on_conflict_do_nothing())


def hidden(
    workspace_id: ColumnElement[Any], project_id: ColumnElement[Any], user_id: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Whether a user may not see what is in a project, or in none if it is null, as far as the copies know."""
    standing = exists().where(MEMBERSHIPS.c.workspace_id == workspace_id, MEMBERSHIPS.c.user_id == user_id)
    not_named = exists().where(
        PRIVATE_PROJECTS.c.workspace_id == workspace_id,
        PRIVATE_PROJECTS.c.project_id == project_id,
        PRIVATE_PROJECTS.c.private,
        user_id != func.all(PRIVATE_PROJECTS.c.member_ids),
    )
    return or_(
        standing.where(MEMBERSHIPS.c.removed),
        and_(not_named, ~standing.where(or_(MEMBERSHIPS.c.role == OWNER, MEMBERSHIPS.c.role == ADMIN))),
    )


def hidden_from(user_id: ColumnElement[Any]) -> Any:
    """The projects that a user may not see, in all of their workspaces, as an array of texts.

    As far as the copies know; asked once in a statement, whatever it reads. Empty for whoever belongs to no workspace:
    what is read has to be scoped to workspaces besides.
    """
    reader = MEMBERSHIPS.alias("reader")
    found = (
        select(cast(PRIVATE_PROJECTS.c.project_id, Text))
        .join_from(reader, PRIVATE_PROJECTS, PRIVATE_PROJECTS.c.workspace_id == reader.c.workspace_id)
        .where(
            reader.c.user_id == user_id,
            ~or_(reader.c.role == OWNER, reader.c.role == ADMIN),
            PRIVATE_PROJECTS.c.private,
            reader.c.user_id != func.all(PRIVATE_PROJECTS.c.member_ids),
        )
        .correlate(None)
    )
    asked_once = select(func.array(found.scalar_subquery(), type_=ARRAY(Text)).label("ids")).cte("hidden")
    return select(asked_once.c.ids).scalar_subquery()


async def ask_tasks(
    stub: project_members_pb2_grpc.ProjectMemberServiceStub, workspace_id: str
) -> Sequence[project_members_pb2.PrivateProject]:
    """The private projects of a workspace, as tasks has them.

    Raises:
        RotaError: tasks does not answer.
    """
    request = project_members_pb2.ListPrivateProjectsRequest(workspace_id=workspace_id)
    try:
        return (await stub.ListPrivateProjects(request, timeout=_TIMEOUT_S)).projects
    except RotaError as error:
        if _is_unknown(error):
            return ()  # The release before has none.
        raise


def _is_unknown(error: RotaError) -> bool:
    """Whether whoever was called is of a release that does not have the method."""
    return isinstance(error.__cause__, AioRpcError) and error.__cause__.code() is StatusCode.UNIMPLEMENTED


class PrivateProjects:
    """The copy in one service's database.

    Args:
        service: Whose copy; the durable consumer is named after it.
        database: Where it is, beside the copy of memberships.
        memberships: That copy.
        tasks: Whom to ask about a workspace for the first time.
        nats: Where the events come from.
    """

    def __init__(
        self, service: str, *, database: Database, memberships: Memberships, tasks: grpc.aio.Channel, nats: Client
    ) -> None:
        self._durable = f"{service}-access"
        self._database = database
        self._memberships = memberships
        self._tasks = project_members_pb2_grpc.ProjectMemberServiceStub(tasks)
        self._locations = locations_pb2_grpc.LocationServiceStub(tasks)
        self._located: dict[UUID, str | None] = {}
        self._nats = nats
        self._known: set[UUID] = set()
        self._strangers: set[tuple[UUID, UUID]] = set()
        self._asking = asyncio.Lock()
        self._newest = 0
        self._caught_up = 0

    async def run(self) -> None:
        """Keep the copy, and that of memberships, until cancelled."""
        handlers: Mapping[str, Handler] = {**dict.fromkeys(_EVENTS, _on_project), **self._memberships.handlers()}
        await Consumer(self._durable, handlers, database=self._database, nats=self._nats).run()

    async def audience(
        self, work: Reader, event: Event, project_ids: Collection[str], user_ids: Sequence[UUID]
    ) -> Sequence[UUID]:
        """Those of the users who may see what an event tells of, in their order.

        Args:
            work: Where to look.
            event: What is being handled, or was read from the stream again.
            project_ids: The projects it is about, of which each has to be seen; empty ones count for nothing.
            user_ids: The users.

        Raises:
            AskFirst: the copy does not know enough.
        """
        if not user_ids:
            return ()
        workspace_id = event.workspace_id
        rows = await work.fetch(_STANDING, workspace_id=workspace_id, user_ids=list(user_ids))
        roles = {row["user_id"]: None if row["removed"] else row["role"] for row in rows}
        here = [each for each in user_ids if roles.get(each, "") is not None]
        projects = [UUID(each) for each in project_ids if each]
        if not projects or not here:
            return here
        self._newest = max(self._newest, event.sequence)
        if workspace_id not in self._known or event.sequence > self._caught_up:
            raise AskFirst(partial(self.settle, workspace_id, event.sequence))
        private = await work.fetch(_PRIVATE_AMONG, workspace_id=workspace_id, project_ids=projects)
        if not private:
            return here
        unknown = [each for each in here if each not in roles and (workspace_id, each) not in self._strangers]
        if unknown:
            raise AskFirst(partial(self._ask_about, workspace_id, unknown))
        return [
            each
            for each in here
            if roles.get(each) in SEES_ALL or (each in roles and all(each in row["member_ids"] for row in private))
        ]

    def require_known(self, workspace_id: UUID) -> None:
        """Return if the copy knows which projects of a workspace are private, apart from the newest events.

        Raises:
            AskFirst: tasks has not been asked yet.
        """
        if workspace_id not in self._known:
            raise AskFirst(partial(self.settle, workspace_id, 0))

    async def project_of(self, event: Event, task_id: str) -> str | None:
        """The project that a task is in when an event of it is handled: empty for none, None when the task is gone.

        Raises:
            AskFirst: tasks has not been asked yet.
        """
        if event.id not in self._located:
            raise AskFirst(partial(self._locate, event, task_id))
        return self._located.pop(event.id)

    async def _locate(self, event: Event, task_id: str) -> None:
        # What else there is to ask for its audience comes before, so that the answer is still new when it is used.
        await self.settle(event.workspace_id, event.sequence)
        request = locations_pb2.LocateTasksRequest(workspace_id=str(event.workspace_id), task_ids=[task_id])
        try:
            found = (await self._locations.LocateTasks(request, timeout=_TIMEOUT_S)).locations
        except RotaError as error:
            if not _is_unknown(error):
                raise
            self._located[event.id] = ""  # The release before has no projects that it would have to be hidden for.
        else:
            self._located[event.id] = found[0].project_id if found else None

    async def settle(self, workspace_id: UUID, sequence: int) -> None:
        """Return once the copy has what there was of a workspace when the event at this place was published.

        Raises:
            Unavailable: tasks or NATS do not answer, or the copy is too far behind (code PROJECTS_UNKNOWN).
        """
        # One question for all that wait for its answer.
        async with self._asking:
            await self._learn(workspace_id)
            if sequence > self._caught_up:
                await self._catch_up(sequence)

    async def _learn(self, workspace_id: UUID) -> None:
        if workspace_id in self._known:
            return
        if await self._database.fetch_value(_WAS_ASKED, workspace_id=workspace_id) is None:
            found = await ask_tasks(self._tasks, str(workspace_id))
            async with self._database.transaction() as work:
                await work.execute_many(
                    _UPSERT,
                    [
                        _row(workspace_id, each.project_id, each.version, private=True, member_ids=each.member_ids)
                        for each in found
                    ],
                )
                await work.execute(_NOTE, workspace_id=workspace_id)
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known.add(workspace_id)

    async def _catch_up(self, sequence: int) -> None:
        # One look answers for whatever has been seen of the stream until then.
        jetstream = self._nats.jetstream(timeout=_TIMEOUT_S)
        try:
            async with asyncio.timeout(WAIT_S):
                while sequence > self._caught_up:
                    seen = max(self._newest, sequence)
                    consumer = await jetstream.consumer_info(EVENTS_STREAM, self._durable)
                    floor = (consumer.ack_floor.stream_seq if consumer.ack_floor else 0) or 0
                    if not consumer.num_pending and not consumer.num_ack_pending:
                        floor = max(floor, seen)
                    self._caught_up = max(self._caught_up, floor)
                    if sequence > self._caught_up:
                        await asyncio.sleep(_LOOK_EVERY_S)
        except (NatsError, OSError, TimeoutError) as error:
            raise Unavailable("Who may see the project is not known yet.", code="PROJECTS_UNKNOWN") from error

    async def _ask_about(self, workspace_id: UUID, user_ids: Sequence[UUID]) -> None:
        for user_id in user_ids:
            await self._memberships.refresh(user_id)
        if len(self._strangers) >= _KEPT:
            self._strangers.clear()
        # Whoever auth does not know here is a stranger, until news of a membership come.
        self._strangers.update((workspace_id, each) for each in user_ids)


async def _on_project(work: UnitOfWork, event: Event) -> None:
    project, gone = event.data.project, event.type == "project.deleted"
    private = project.visibility == projects_pb2.PROJECT_VISIBILITY_PRIVATE
    member_ids = [each.user_id for each in event.data.members] if private and not gone else []
    await work.execute(
        _UPSERT,
        **_row(event.workspace_id, project.id, event.aggregate_version, private=private, member_ids=member_ids),
    )


def _row(
    workspace_id: UUID, project_id: str, version: int, *, private: bool, member_ids: Sequence[str]
) -> dict[str, Any]:
    return {
        "workspace_id": workspace_id,
        "project_id": UUID(project_id),
        "version": version,
        "private": private,
        "member_ids": [UUID(each) for each in member_ids],
    }
