"""A tasks service that runs, with two users."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from rota.tasks.v1 import (
    batch_pb2_grpc,
    boards_pb2_grpc,
    checklists_pb2_grpc,
    comments_pb2_grpc,
    copies_pb2_grpc,
    custom_fields_pb2_grpc,
    exports_pb2_grpc,
    history_pb2_grpc,
    imports_pb2_grpc,
    labels_pb2_grpc,
    planning_pb2_grpc,
    project_members_pb2_grpc,
    projects_pb2_grpc,
    reactions_pb2_grpc,
    relations_pb2_grpc,
    saved_filters_pb2_grpc,
    search_pb2_grpc,
    series_pb2_grpc,
    sharing_pb2_grpc,
    sync_pb2_grpc,
    tasks_pb2,
    tasks_pb2_grpc,
    templates_pb2_grpc,
    trash_pb2_grpc,
)
from rota_chassis.testing.auth import SmallAuth, small_auth
from rota_chassis.testing.services import User, running
from rota_scheduler.bootstrap import SERVICE as SCHEDULER
from rota_tasks.bootstrap import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc
    from rota_chassis.clock import Clock
    from rota_chassis.testing.service_plugin import MakeDatabase
    from rota_chassis.testing.tokens import TokenIssuer


@dataclass
class Stage:
    """A running service, and who uses it."""

    tasks: tasks_pb2_grpc.TaskServiceStub
    projects: projects_pb2_grpc.ProjectServiceStub
    members: project_members_pb2_grpc.ProjectMemberServiceStub
    labels: labels_pb2_grpc.LabelServiceStub
    relations: relations_pb2_grpc.RelationServiceStub
    comments: comments_pb2_grpc.CommentServiceStub
    fields: custom_fields_pb2_grpc.CustomFieldServiceStub
    reactions: reactions_pb2_grpc.ReactionServiceStub
    search: search_pb2_grpc.SearchServiceStub
    trash: trash_pb2_grpc.TrashServiceStub
    history: history_pb2_grpc.HistoryServiceStub
    batches: batch_pb2_grpc.BatchServiceStub
    boards: boards_pb2_grpc.BoardServiceStub
    checklists: checklists_pb2_grpc.ChecklistServiceStub
    planning: planning_pb2_grpc.PlanningServiceStub
    imports: imports_pb2_grpc.ImportServiceStub
    saved_filters: saved_filters_pb2_grpc.SavedFilterServiceStub
    sync: sync_pb2_grpc.SyncServiceStub
    series: series_pb2_grpc.SeriesServiceStub
    sharing: sharing_pb2_grpc.SharingServiceStub
    exports: exports_pb2_grpc.ExportServiceStub
    copies: copies_pb2_grpc.CopyServiceStub
    templates: templates_pb2_grpc.TemplateServiceStub
    auth: SmallAuth
    issuer: TokenIssuer
    ada: User
    grace: User
    database_url: str
    nats_url: str
    channel: grpc.aio.Channel

    async def create(self, title: str = "Water the plants", *, user: User | None = None, **fields: Any) -> Any:
        """A new task of Ada's, or of `user`."""
        answer = await self.tasks.CreateTask(
            tasks_pb2.CreateTaskRequest(title=title, **fields), metadata=(user or self.ada).metadata
        )
        return answer.task


@pytest.fixture
def settings() -> dict[str, Any]:
    """What is not the default of the service that runs."""
    return {}


@pytest.fixture
def clock() -> Clock | None:
    """The time of the services; none means the machine's."""
    return None


@pytest.fixture
async def scheduler_url(make_database: MakeDatabase) -> str:
    """The database of the scheduler."""
    return await make_database("scheduler")


@pytest.fixture
def scheduler_settings() -> dict[str, Any]:
    """What is not the default of the scheduler that runs."""
    return {}


@pytest.fixture
async def scheduler_address(
    *,
    scheduler_url: str,
    scheduler_settings: dict[str, Any],
    postgres_url: str,
    redis_url: str,
    fresh_nats_url: str,
    issuer: TokenIssuer,
    clock: Clock | None,
) -> AsyncIterator[str]:
    """Where a scheduler runs."""
    with tempfile.TemporaryDirectory(prefix="rota-") as folder:
        address = f"unix:{folder}/scheduler.sock"
        async with running(
            SCHEDULER,
            server_url=postgres_url,
            database_url=scheduler_url,
            redis_url=redis_url,
            nats_url=fresh_nats_url,
            issuer=issuer,
            clock=clock,
            scheduler_address=address,
            **scheduler_settings,
        ):
            yield address


@pytest.fixture
async def stage(
    *,
    make_database: MakeDatabase,
    postgres_url: str,
    redis_url: str,
    fresh_nats_url: str,
    issuer: TokenIssuer,
    settings: dict[str, Any],
) -> AsyncIterator[Stage]:
    database_url = await make_database("tasks")
    async with (
        small_auth() as auth,
        running(
            SERVICE,
            server_url=postgres_url,
            database_url=database_url,
            redis_url=redis_url,
            nats_url=fresh_nats_url,
            issuer=issuer,
            auth_address=auth.address,
            **settings,
        ) as channel,
    ):
        ada, grace = User(issuer), User(issuer)
        auth.add_user(ada)
        auth.add_user(grace, name="Grace")
        yield Stage(
            tasks_pb2_grpc.TaskServiceStub(channel),
            projects_pb2_grpc.ProjectServiceStub(channel),
            project_members_pb2_grpc.ProjectMemberServiceStub(channel),
            labels_pb2_grpc.LabelServiceStub(channel),
            relations_pb2_grpc.RelationServiceStub(channel),
            comments_pb2_grpc.CommentServiceStub(channel),
            custom_fields_pb2_grpc.CustomFieldServiceStub(channel),
            reactions_pb2_grpc.ReactionServiceStub(channel),
            search_pb2_grpc.SearchServiceStub(channel),
            trash_pb2_grpc.TrashServiceStub(channel),
            history_pb2_grpc.HistoryServiceStub(channel),
            batch_pb2_grpc.BatchServiceStub(channel),
            boards_pb2_grpc.BoardServiceStub(channel),
            checklists_pb2_grpc.ChecklistServiceStub(channel),
            planning_pb2_grpc.PlanningServiceStub(channel),
            imports_pb2_grpc.ImportServiceStub(channel),
            saved_filters_pb2_grpc.SavedFilterServiceStub(channel),
            sync_pb2_grpc.SyncServiceStub(channel),
            series_pb2_grpc.SeriesServiceStub(channel),
            sharing_pb2_grpc.SharingServiceStub(channel),
            exports_pb2_grpc.ExportServiceStub(channel),
            copies_pb2_grpc.CopyServiceStub(channel),
            templates_pb2_grpc.TemplateServiceStub(channel),
            auth,
            issuer,
            ada,
            grace,
            database_url,
            fresh_nats_url,
            channel,
        )
