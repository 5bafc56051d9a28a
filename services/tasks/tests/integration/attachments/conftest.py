"""A tasks service that keeps files in a folder of the test's own, with small limits."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from grpc.aio import AioRpcError
from rota.scheduler.v1.series_pb2_grpc import SeriesTimesServiceStub
from rota.scheduler.v1.task_actions_pb2_grpc import TaskActionServiceStub
from rota.tasks.v1 import (
    attachments_pb2,
    attachments_pb2_grpc,
    search_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
    trash_pb2_grpc,
)
from rota_chassis.errors import from_rpc_error
from rota_chassis.memberships import Memberships
from rota_chassis.postgres.database import Database
from rota_chassis.rpc import streams
from rota_chassis.testing.auth import SmallAuth, small_auth
from rota_chassis.testing.services import User, running
from rota_tasks.attachments.dependencies import Attachments
from rota_tasks.attachments.files import LocalFileStore
from rota_tasks.bootstrap import SERVICE
from rota_tasks.tasks.dependencies import Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import grpc
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer

    RunDesk = Callable[..., AbstractAsyncContextManager["Desk"]]

MAX_BYTES = 3_000_000
QUOTA_BYTES = 10_000_000
CHUNK_BYTES = 200_000


@dataclass
class Desk:
    """A running service, who uses it, and where its files are."""

    channel: grpc.aio.Channel
    auth: SmallAuth
    ada: User
    grace: User
    database_url: str
    folder: Path

    @property
    def attachments(self) -> attachments_pb2_grpc.AttachmentServiceStub:
        return attachments_pb2_grpc.AttachmentServiceStub(self.channel)

    @property
    def tasks(self) -> tasks_pb2_grpc.TaskServiceStub:
        return tasks_pb2_grpc.TaskServiceStub(self.channel)

    @property
    def trash(self) -> trash_pb2_grpc.TrashServiceStub:
        return trash_pb2_grpc.TrashServiceStub(self.channel)

    @property
    def search(self) -> search_pb2_grpc.SearchServiceStub:
        return search_pb2_grpc.SearchServiceStub(self.channel)

    async def task(self, title: str = "Water the plants", *, user: User | None = None) -> Any:
        request = tasks_pb2.CreateTaskRequest(title=title)
        return (await self.tasks.CreateTask(request, metadata=(user or self.ada).metadata)).task

    async def attach(
        self, task: Any, content: bytes = b"some words", *, user: User | None = None, **fields: Any
    ) -> attachments_pb2.Attachment:
        """Attach a file in chunks; a field given as None is left out."""
        given = {"name": "notes.txt", "media_type": "text/plain", "size": len(content), **fields}
        said = {name: value for name, value in given.items() if value is not None}

        async def messages() -> AsyncGenerator[attachments_pb2.CreateAttachmentRequest]:
            yield attachments_pb2.CreateAttachmentRequest(task_id=getattr(task, "id", task), **said)
            for start in range(0, len(content), CHUNK_BYTES):
                yield attachments_pb2.CreateAttachmentRequest(data=content[start : start + CHUNK_BYTES])
            yield attachments_pb2.CreateAttachmentRequest(complete=True)

        return await self.send(messages(), user=user)

    async def send(self, messages: AsyncGenerator[Any], *, user: User | None = None) -> attachments_pb2.Attachment:
        """Attach what an iterator of messages says."""
        with _rota_errors():
            call = self.attachments.CreateAttachment(metadata=(user or self.ada).metadata)
            answer = await streams.send(call, messages)
        return answer.attachment

    async def download(self, attachment: Any, *, user: User | None = None, **fields: Any) -> tuple[Any, bytes]:
        """The head of its content, and the content."""
        request = attachments_pb2.DownloadAttachmentRequest(id=attachment.id, **fields)
        with _rota_errors():
            call = self.attachments.DownloadAttachment(request, metadata=(user or self.ada).metadata)
            messages = [message async for message in call]
        return messages[0].head, b"".join(message.data for message in messages[1:])

    async def listed(self, task: Any, *, user: User | None = None, size: int = 50) -> list[Any]:
        seen: list[Any] = []
        token = ""
        while True:
            request = attachments_pb2.ListAttachmentsRequest(task_id=task.id, page_size=size, page_token=token)
            answer = await self.attachments.ListAttachments(request, metadata=(user or self.ada).metadata)
            seen += answer.attachments
            token = answer.next_page_token
            if not token:
                return seen

    async def delete(self, attachment: Any, *, user: User | None = None) -> None:
        request = attachments_pb2.DeleteAttachmentRequest(id=attachment.id)
        await self.attachments.DeleteAttachment(request, metadata=(user or self.ada).metadata)

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Ask the service's database."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def usage(self, user: User) -> int:
        """What is counted for the user's workspace; the sum must be that of its objects."""
        rows = await self.fetch("SELECT bytes FROM attachment_usage WHERE workspace_id = $1", user.workspace_id)
        summed = await self.fetch(
            "SELECT coalesce(sum(bytes), 0)::bigint FROM attachment_objects "
            "WHERE workspace_id = $1 AND state <> 'deleted'",
            user.workspace_id,
        )
        counted = rows[0][0] if rows else 0
        assert counted == summed[0][0]
        return int(counted)

    def files(self) -> list[str]:
        """The names of all files there are, whole or not."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())

    @asynccontextmanager
    async def cleaning(self, clock: Any) -> AsyncIterator[Attachments]:
        """What the clean-up needs, on connections of its own."""
        database = await Database.connect(self.database_url, size=4)
        try:
            tasks = Tasks(
                database,
                Memberships(database, self.channel),
                clock,
                SeriesTimesServiceStub(self.channel),
                TaskActionServiceStub(self.channel),
            )
            yield Attachments(tasks, LocalFileStore(self.folder), max_bytes=MAX_BYTES, quota_bytes=QUOTA_BYTES)
        finally:
            await database.close()


@pytest.fixture
def servers(postgres_url: str, redis_url: str, fresh_nats_url: str) -> dict[str, str]:
    """What a service connects to."""
    return {"server_url": postgres_url, "redis_url": redis_url, "nats_url": fresh_nats_url}


@pytest.fixture
def run_desk(make_database: MakeDatabase, servers: dict[str, str], issuer: TokenIssuer, tmp_path: Path) -> RunDesk:
    """Runs a service with settings of the test's own, for the length of a block."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Desk]:
        database_url = await make_database("tasks")
        folder = tmp_path / "files"
        limits = {"attachment_max_bytes": MAX_BYTES, "attachment_quota_bytes": QUOTA_BYTES}
        async with (
            small_auth() as auth,
            running(
                SERVICE,
                database_url=database_url,
                issuer=issuer,
                auth_address=auth.address,
                **servers,
                **{"attachments_folder": folder, **limits, **settings},
            ) as channel,
        ):
            ada, grace = User(issuer), User(issuer)
            auth.add_user(ada)
            auth.add_user(grace, name="Grace")
            yield Desk(channel, auth, ada, grace, database_url, folder)

    return run


@pytest.fixture
async def desk(run_desk: RunDesk) -> AsyncIterator[Desk]:
    """A running service, and who uses it."""
    async with run_desk() as running_desk:
        yield running_desk


@contextmanager
def _rota_errors() -> Iterator[None]:
    """What streams raise, as what all other calls raise."""
    try:
        yield
    except AioRpcError as error:
        raise from_rpc_error(error) from error


def digest(content: bytes) -> str:
    """What an attachment says of its content."""
    return hashlib.sha256(content).hexdigest()
