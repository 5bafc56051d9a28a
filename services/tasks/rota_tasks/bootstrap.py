"""Puts the tasks service together."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from rota.scheduler.v1 import series_pb2_grpc as times_pb2_grpc
from rota.scheduler.v1 import task_actions_pb2_grpc
from rota.tasks.v1 import (
    attachments_pb2_grpc,
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
    locations_pb2_grpc,
    planning_pb2_grpc,
    project_members_pb2_grpc,
    projects_pb2_grpc,
    reactions_pb2_grpc,
    relations_pb2_grpc,
    requests_pb2_grpc,
    saved_filters_pb2_grpc,
    search_pb2_grpc,
    series_pb2_grpc,
    sharing_pb2_grpc,
    sync_pb2_grpc,
    tasks_pb2_grpc,
    templates_pb2_grpc,
    trash_pb2_grpc,
)
from rota_chassis.memberships import Memberships
from rota_chassis.service import Service

from rota_tasks.attachments import cleanup
from rota_tasks.attachments.dependencies import Attachments
from rota_tasks.attachments.files import LocalFileStore, S3FileStore, bucket
from rota_tasks.attachments.servicer import AttachmentServicer
from rota_tasks.batch.servicer import BatchServicer
from rota_tasks.boards.servicer import BoardServicer
from rota_tasks.checklists.servicer import ChecklistServicer
from rota_tasks.comments.servicer import CommentServicer
from rota_tasks.copies.servicer import CopyServicer
from rota_tasks.executions import handlers as execution_handlers
from rota_tasks.executions import unblocking
from rota_tasks.exports.dependencies import Exports
from rota_tasks.exports.servicer import ExportServicer
from rota_tasks.exports.worker import Exporter
from rota_tasks.fields.servicer import CustomFieldServicer
from rota_tasks.history.servicer import HistoryServicer
from rota_tasks.imports.dependencies import Imports
from rota_tasks.imports.servicer import ImportServicer
from rota_tasks.imports.worker import Importer
from rota_tasks.labels.dependencies import Labels
from rota_tasks.labels.servicer import LabelServicer
from rota_tasks.locations.servicer import LocationServicer
from rota_tasks.members import handlers as member_handlers
from rota_tasks.members.servicer import ProjectMemberServicer
from rota_tasks.planning.servicer import PlanningServicer
from rota_tasks.projects.dependencies import Projects
from rota_tasks.projects.servicer import ProjectServicer
from rota_tasks.reactions.servicer import ReactionServicer
from rota_tasks.relations.servicer import RelationServicer
from rota_tasks.requests.servicer import RequestServicer
from rota_tasks.saved_filters.servicer import SavedFilterServicer
from rota_tasks.search import refreshing
from rota_tasks.search.servicer import SearchServicer
from rota_tasks.series import handlers as series_handlers
from rota_tasks.series.servicer import SeriesServicer
from rota_tasks.settings import TasksSettings
from rota_tasks.sharing.servicer import SharingServicer
from rota_tasks.sync.servicer import SyncServicer
from rota_tasks.tasks.dependencies import Tasks
from rota_tasks.tasks.servicer import TaskServicer
from rota_tasks.templates.servicer import TemplateServicer
from rota_tasks.trash.dependencies import Trash
from rota_tasks.trash.servicer import TrashServicer

if TYPE_CHECKING:
    from rota_chassis.service import Runtime

    from rota_tasks.attachments.files import FileStore


async def build(runtime: Runtime[TasksSettings]) -> None:
    """Add the servicers and the copy of memberships to the runtime."""
    memberships = Memberships(runtime.database, runtime.channels["auth"])
    tasks = Tasks(
        runtime.database,
        memberships,
        runtime.clock,
        times_pb2_grpc.SeriesTimesServiceStub(runtime.channels["scheduler"]),
        task_actions_pb2_grpc.TaskActionServiceStub(runtime.channels["scheduler"]),
    )
    projects = Projects(runtime.database, memberships, runtime.clock)
    runtime.serve(tasks_pb2_grpc.add_TaskServiceServicer_to_server, TaskServicer(tasks, runtime.page_tokens))
    runtime.serve(
        projects_pb2_grpc.add_ProjectServiceServicer_to_server, ProjectServicer(projects, runtime.page_tokens)
    )
    runtime.serve(
        project_members_pb2_grpc.add_ProjectMemberServiceServicer_to_server,
        ProjectMemberServicer(projects, runtime.page_tokens),
    )
    labels = Labels(runtime.database, memberships, runtime.clock)
    runtime.serve(labels_pb2_grpc.add_LabelServiceServicer_to_server, LabelServicer(labels, runtime.page_tokens))
    runtime.serve(
        relations_pb2_grpc.add_RelationServiceServicer_to_server, RelationServicer(tasks, runtime.page_tokens)
    )
    runtime.serve(comments_pb2_grpc.add_CommentServiceServicer_to_server, CommentServicer(tasks, runtime.page_tokens))
    runtime.serve(search_pb2_grpc.add_SearchServiceServicer_to_server, SearchServicer(tasks, runtime.page_tokens))
    trash = Trash(tasks, timedelta(days=runtime.settings.trash_retention_days))
    runtime.serve(trash_pb2_grpc.add_TrashServiceServicer_to_server, TrashServicer(trash, runtime.page_tokens))
    runtime.serve(locations_pb2_grpc.add_LocationServiceServicer_to_server, LocationServicer(runtime.database))
    runtime.serve(
        requests_pb2_grpc.add_RequestServiceServicer_to_server, RequestServicer(runtime.database, runtime.clock)
    )
    runtime.serve(history_pb2_grpc.add_HistoryServiceServicer_to_server, HistoryServicer(tasks, runtime.page_tokens))
    runtime.serve(batch_pb2_grpc.add_BatchServiceServicer_to_server, BatchServicer(tasks))
    runtime.serve(
        boards_pb2_grpc.add_BoardServiceServicer_to_server, BoardServicer(projects, tasks, runtime.page_tokens)
    )
    runtime.serve(
        checklists_pb2_grpc.add_ChecklistServiceServicer_to_server, ChecklistServicer(tasks, runtime.page_tokens)
    )
    runtime.serve(
        planning_pb2_grpc.add_PlanningServiceServicer_to_server, PlanningServicer(projects, tasks, runtime.page_tokens)
    )
    runtime.serve(
        reactions_pb2_grpc.add_ReactionServiceServicer_to_server, ReactionServicer(tasks, runtime.page_tokens)
    )
    importer = Importer(tasks, runtime.channels["auth"])
    runtime.serve(
        imports_pb2_grpc.add_ImportServiceServicer_to_server,
        ImportServicer(Imports(tasks, importer.wake), runtime.page_tokens),
    )
    runtime.background("imports", importer.run)
    runtime.serve(
        saved_filters_pb2_grpc.add_SavedFilterServiceServicer_to_server,
        SavedFilterServicer(tasks, runtime.page_tokens),
    )
    runtime.serve(sync_pb2_grpc.add_SyncServiceServicer_to_server, SyncServicer(tasks, runtime.page_tokens))
    runtime.serve(
        sharing_pb2_grpc.add_SharingServiceServicer_to_server, SharingServicer(projects, tasks, runtime.page_tokens)
    )
    attachments = Attachments(
        tasks,
        _file_store(runtime.settings),
        max_bytes=runtime.settings.attachment_max_bytes,
        quota_bytes=runtime.settings.attachment_quota_bytes,
    )
    runtime.serve(
        attachments_pb2_grpc.add_AttachmentServiceServicer_to_server,
        AttachmentServicer(attachments, runtime.page_tokens),
    )
    runtime.background("attachments", partial(cleanup.run, attachments))
    runtime.serve(
        custom_fields_pb2_grpc.add_CustomFieldServiceServicer_to_server,
        CustomFieldServicer(projects, runtime.page_tokens),
    )
    exporter = Exporter(tasks)
    runtime.serve(
        exports_pb2_grpc.add_ExportServiceServicer_to_server,
        ExportServicer(Exports(tasks, exporter.wake), runtime.page_tokens),
    )
    runtime.background("exports", exporter.run)
    runtime.serve(copies_pb2_grpc.add_CopyServiceServicer_to_server, CopyServicer(projects))
    runtime.serve(
        templates_pb2_grpc.add_TemplateServiceServicer_to_server,
        TemplateServicer(projects, tasks, runtime.page_tokens),
    )
    runtime.serve(series_pb2_grpc.add_SeriesServiceServicer_to_server, SeriesServicer(tasks, runtime.page_tokens))
    runtime.background("unblocking", partial(unblocking.run, tasks))
    runtime.background("documents", partial(refreshing.run, runtime.database))
    runtime.consume(
        {
            **member_handlers.handlers(projects),
            **series_handlers.handlers(tasks),
            **execution_handlers.handlers(tasks),
        }
    )


def _file_store(settings: TasksSettings) -> FileStore:
    if settings.s3_bucket is None:
        return LocalFileStore(settings.attachments_folder)
    return S3FileStore(
        bucket(
            settings.s3_bucket,
            endpoint=settings.s3_endpoint,
            region=settings.s3_region,
            access_key_id=settings.s3_access_key_id,
            secret_access_key=settings.s3_secret_access_key,
        )
    )


SERVICE = Service("tasks", TasksSettings, build)
