"""Every call of the contract, for who does not see a private project, and for who only reads in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from calling import in_days, methods
from google.protobuf.field_mask_pb2 import FieldMask
from grpc.aio import AioRpcError
from rota.tasks.v1 import (
    attachments_pb2,
    batch_pb2,
    boards_pb2,
    checklists_pb2,
    comments_pb2,
    copies_pb2,
    custom_fields_pb2,
    exports_pb2,
    history_pb2,
    imports_pb2,
    labels_pb2,
    locations_pb2,
    planning_pb2,
    project_members_pb2,
    projects_pb2,
    reactions_pb2,
    relations_pb2,
    requests_pb2,
    saved_filters_pb2,
    search_pb2,
    series_pb2,
    sharing_pb2,
    sync_pb2,
    tasks_pb2,
    templates_pb2,
    trash_pb2,
)
from rota_chassis.errors import NotFound, PermissionDenied, RotaError, Unprocessable, from_rpc_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from integration.private_projects.conftest import World

GONE, REFUSED, QUIET, READS, SEES, OPEN, NO_ADDRESS = "gone", "refused", "quiet", "reads", "sees", "open", "no address"
"""Not found; forbidden; answered without a trace; answered; answered with it; for whoever has a link; kept on disk."""


@dataclass(frozen=True)
class Case:
    """A call, and what it gives to who does not see the project, and to who reads in it."""

    request: Callable[[World], Any]
    outsider: str
    viewer: str


def mask(*paths: str) -> FieldMask:
    return FieldMask(paths=paths)


CASES: Mapping[str, Case] = {
    "AttachmentService.CreateAttachment": Case(
        lambda w: attachments_pb2.CreateAttachmentRequest(task_id=w.task, name="a.txt", size=len(w.marker)),
        GONE,
        REFUSED,
    ),
    "AttachmentService.GetAttachment": Case(
        lambda w: attachments_pb2.GetAttachmentRequest(id=w.attachment), GONE, SEES
    ),
    "AttachmentService.ListAttachments": Case(
        lambda w: attachments_pb2.ListAttachmentsRequest(task_id=w.task), GONE, SEES
    ),
    "AttachmentService.DownloadAttachment": Case(
        lambda w: attachments_pb2.DownloadAttachmentRequest(id=w.attachment), GONE, SEES
    ),
    "AttachmentService.GetAttachmentUrl": Case(
        lambda w: attachments_pb2.GetAttachmentUrlRequest(id=w.attachment), GONE, NO_ADDRESS
    ),
    "AttachmentService.DeleteAttachment": Case(
        lambda w: attachments_pb2.DeleteAttachmentRequest(id=w.attachment), GONE, REFUSED
    ),
    "BatchService.BatchTasks": Case(
        lambda w: batch_pb2.BatchTasksRequest(
            atomic=True,
            operations=[batch_pb2.BatchOperation(update=tasks_pb2.UpdateTaskRequest(id=w.task, title="Mine"))],
        ),
        GONE,
        REFUSED,
    ),
    "BatchService.UndoBatch": Case(lambda w: batch_pb2.UndoBatchRequest(id=w.batch), GONE, GONE),
    "BoardService.CreateState": Case(
        lambda w: boards_pb2.CreateStateRequest(project_id=w.project, name="S", group=tasks_pb2.TASK_STATUS_DONE),
        GONE,
        REFUSED,
    ),
    "BoardService.GetState": Case(lambda w: boards_pb2.GetStateRequest(project_id=w.project, id=w.state), GONE, SEES),
    "BoardService.ListStates": Case(lambda w: boards_pb2.ListStatesRequest(project_id=w.project), GONE, SEES),
    "BoardService.UpdateState": Case(
        lambda w: boards_pb2.UpdateStateRequest(project_id=w.project, id=w.state, name="S", update_mask=mask("name")),
        GONE,
        REFUSED,
    ),
    "BoardService.DeleteState": Case(
        lambda w: boards_pb2.DeleteStateRequest(project_id=w.project, id=w.state), GONE, REFUSED
    ),
    "BoardService.CreateSection": Case(
        lambda w: boards_pb2.CreateSectionRequest(project_id=w.project, name="S"), GONE, REFUSED
    ),
    "BoardService.GetSection": Case(
        lambda w: boards_pb2.GetSectionRequest(project_id=w.project, id=w.section), GONE, SEES
    ),
    "BoardService.ListSections": Case(lambda w: boards_pb2.ListSectionsRequest(project_id=w.project), GONE, SEES),
    "BoardService.UpdateSection": Case(
        lambda w: boards_pb2.UpdateSectionRequest(
            project_id=w.project, id=w.section, name="S", update_mask=mask("name")
        ),
        GONE,
        REFUSED,
    ),
    "BoardService.DeleteSection": Case(
        lambda w: boards_pb2.DeleteSectionRequest(project_id=w.project, id=w.section), GONE, REFUSED
    ),
    "BoardService.GetBoard": Case(lambda w: boards_pb2.GetBoardRequest(project_id=w.project), GONE, SEES),
    "BoardService.TransitionTask": Case(
        lambda w: boards_pb2.TransitionTaskRequest(id=w.task, state_id=w.state), GONE, REFUSED
    ),
    "BoardService.MoveTask": Case(lambda w: boards_pb2.MoveTaskRequest(id=w.task), GONE, REFUSED),
    "ChecklistService.CreateChecklistItem": Case(
        lambda w: checklists_pb2.CreateChecklistItemRequest(task_id=w.task, title="A step"), GONE, REFUSED
    ),
    "ChecklistService.GetChecklistItem": Case(
        lambda w: checklists_pb2.GetChecklistItemRequest(task_id=w.task, id=w.item), GONE, SEES
    ),
    "ChecklistService.ListChecklistItems": Case(
        lambda w: checklists_pb2.ListChecklistItemsRequest(task_id=w.task), GONE, SEES
    ),
    "ChecklistService.UpdateChecklistItem": Case(
        lambda w: checklists_pb2.UpdateChecklistItemRequest(
            task_id=w.task, id=w.item, is_done=True, update_mask=mask("is_done")
        ),
        GONE,
        REFUSED,
    ),
    "ChecklistService.DeleteChecklistItem": Case(
        lambda w: checklists_pb2.DeleteChecklistItemRequest(task_id=w.task, id=w.item), GONE, REFUSED
    ),
    "CommentService.CreateComment": Case(
        lambda w: comments_pb2.CreateCommentRequest(task_id=w.task, text="Me too"), GONE, REFUSED
    ),
    "CommentService.GetComment": Case(
        lambda w: comments_pb2.GetCommentRequest(task_id=w.task, id=w.comment), GONE, SEES
    ),
    "CommentService.ListComments": Case(lambda w: comments_pb2.ListCommentsRequest(task_id=w.task), GONE, SEES),
    "CommentService.UpdateComment": Case(
        lambda w: comments_pb2.UpdateCommentRequest(
            task_id=w.task, id=w.comment, text="Other", update_mask=mask("text")
        ),
        GONE,
        REFUSED,
    ),
    "CommentService.DeleteComment": Case(
        lambda w: comments_pb2.DeleteCommentRequest(task_id=w.task, id=w.comment), GONE, REFUSED
    ),
    "CommentService.ListCommentVersions": Case(
        lambda w: comments_pb2.ListCommentVersionsRequest(task_id=w.task, id=w.comment), GONE, SEES
    ),
    "CopyService.CopyProject": Case(lambda w: copies_pb2.CopyProjectRequest(id=w.project), GONE, REFUSED),
    "CustomFieldService.CreateCustomField": Case(
        lambda w: custom_fields_pb2.CreateCustomFieldRequest(
            project_id=w.project, name="F", type=custom_fields_pb2.CUSTOM_FIELD_TYPE_TEXT
        ),
        GONE,
        REFUSED,
    ),
    "CustomFieldService.GetCustomField": Case(
        lambda w: custom_fields_pb2.GetCustomFieldRequest(project_id=w.project, id=w.field), GONE, SEES
    ),
    "CustomFieldService.ListCustomFields": Case(
        lambda w: custom_fields_pb2.ListCustomFieldsRequest(project_id=w.project), GONE, SEES
    ),
    "CustomFieldService.UpdateCustomField": Case(
        lambda w: custom_fields_pb2.UpdateCustomFieldRequest(
            project_id=w.project, id=w.field, name="F", update_mask=mask("name")
        ),
        GONE,
        REFUSED,
    ),
    "CustomFieldService.DeleteCustomField": Case(
        lambda w: custom_fields_pb2.DeleteCustomFieldRequest(project_id=w.project, id=w.field), GONE, REFUSED
    ),
    "ExportService.CreateExport": Case(
        lambda w: exports_pb2.CreateExportRequest(format=exports_pb2.EXPORT_FORMAT_CSV, project_id=w.project),
        GONE,
        READS,
    ),
    "ExportService.GetExport": Case(lambda w: exports_pb2.GetExportRequest(id=w.export), GONE, GONE),
    "ExportService.GetExportContent": Case(lambda w: exports_pb2.GetExportContentRequest(id=w.export), GONE, GONE),
    "HistoryService.ListTaskHistory": Case(lambda w: history_pb2.ListTaskHistoryRequest(id=w.task), GONE, SEES),
    "HistoryService.UndoTask": Case(lambda w: history_pb2.UndoTaskRequest(id=w.subtask), GONE, REFUSED),
    "ImportService.CreateImport": Case(
        lambda w: imports_pb2.CreateImportRequest(
            format=imports_pb2.IMPORT_FORMAT_CSV, content="title\nMine\n", project_id=w.project
        ),
        GONE,
        REFUSED,
    ),
    "ImportService.AddImportPart": Case(
        lambda w: imports_pb2.AddImportPartRequest(id=w.ids["import"], number=2, content="x"), GONE, GONE
    ),
    "ImportService.GetImport": Case(lambda w: imports_pb2.GetImportRequest(id=w.ids["import"]), GONE, GONE),
    "ImportService.ListImports": Case(lambda _: imports_pb2.ListImportsRequest(), QUIET, READS),
    "ImportService.CancelImport": Case(lambda w: imports_pb2.CancelImportRequest(id=w.ids["import"]), GONE, GONE),
    "LabelService.CreateLabel": Case(lambda _: labels_pb2.CreateLabelRequest(name=f"L {uuid4()}"), QUIET, READS),
    "LabelService.GetLabel": Case(lambda w: labels_pb2.GetLabelRequest(id=w.label), QUIET, READS),
    "LabelService.ListLabels": Case(lambda _: labels_pb2.ListLabelsRequest(), QUIET, READS),
    "LabelService.UpdateLabel": Case(
        lambda w: labels_pb2.UpdateLabelRequest(id=w.label, color="#000000", update_mask=mask("color")), QUIET, READS
    ),
    "LabelService.DeleteLabel": Case(lambda _: labels_pb2.DeleteLabelRequest(id=str(uuid4())), GONE, GONE),
    "LocationService.LocateTasks": Case(
        lambda w: locations_pb2.LocateTasksRequest(workspace_id=str(w.owner.workspace_id), task_ids=[w.task]),
        REFUSED,
        REFUSED,
    ),
    "PlanningService.GetCalendar": Case(
        lambda _: planning_pb2.GetCalendarRequest(**{"from": "today-1d", "to": "today+30d"}), QUIET, SEES
    ),
    "PlanningService.GetProjectGraph": Case(lambda w: planning_pb2.GetProjectGraphRequest(id=w.project), GONE, SEES),
    "PlanningService.RescheduleTask": Case(
        lambda w: planning_pb2.RescheduleTaskRequest(id=w.task, due_at=in_days(9)), GONE, REFUSED
    ),
    "ProjectMemberService.AddProjectMember": Case(
        lambda w: project_members_pb2.AddProjectMemberRequest(project_id=w.project, user_id=str(w.outsider.id)),
        GONE,
        REFUSED,
    ),
    "ProjectMemberService.ListProjectMembers": Case(
        lambda w: project_members_pb2.ListProjectMembersRequest(project_id=w.project), GONE, READS
    ),
    "ProjectMemberService.GetProjectMember": Case(
        lambda w: project_members_pb2.GetProjectMemberRequest(project_id=w.project, user_id=str(w.keeper.id)),
        GONE,
        READS,
    ),
    "ProjectMemberService.UpdateProjectMember": Case(
        lambda w: project_members_pb2.UpdateProjectMemberRequest(
            project_id=w.project,
            user_id=str(w.viewer.id),
            role=project_members_pb2.PROJECT_ROLE_ADMIN,
            update_mask=mask("role"),
        ),
        GONE,
        REFUSED,
    ),
    "ProjectMemberService.RemoveProjectMember": Case(
        lambda w: project_members_pb2.RemoveProjectMemberRequest(project_id=w.project, user_id=str(w.keeper.id)),
        GONE,
        REFUSED,
    ),
    "ProjectMemberService.ListPrivateProjects": Case(
        lambda w: project_members_pb2.ListPrivateProjectsRequest(workspace_id=str(w.owner.workspace_id)),
        REFUSED,
        REFUSED,
    ),
    "ProjectService.CreateProject": Case(lambda _: projects_pb2.CreateProjectRequest(name="Mine"), QUIET, READS),
    "ProjectService.GetProject": Case(lambda w: projects_pb2.GetProjectRequest(id=w.project), GONE, SEES),
    "ProjectService.ListProjects": Case(lambda _: projects_pb2.ListProjectsRequest(), QUIET, SEES),
    "ProjectService.UpdateProject": Case(
        lambda w: projects_pb2.UpdateProjectRequest(id=w.project, name="Mine", update_mask=mask("name")), GONE, REFUSED
    ),
    "ProjectService.DeleteProject": Case(lambda w: projects_pb2.DeleteProjectRequest(id=w.project), GONE, REFUSED),
    "ReactionService.CreateReaction": Case(
        lambda w: reactions_pb2.CreateReactionRequest(comment_id=w.comment, emoji="🎉"), GONE, REFUSED
    ),
    "ReactionService.ListReactions": Case(
        lambda w: reactions_pb2.ListReactionsRequest(comment_id=w.comment), GONE, READS
    ),
    "ReactionService.DeleteReaction": Case(
        lambda w: reactions_pb2.DeleteReactionRequest(comment_id=w.comment, emoji="👍"), GONE, REFUSED
    ),
    "RelationService.CreateRelation": Case(
        lambda w: relations_pb2.CreateRelationRequest(
            id=w.outside, type=relations_pb2.RELATION_TYPE_RELATES, task_id=w.task
        ),
        GONE,
        REFUSED,
    ),
    "RelationService.ListRelations": Case(lambda w: relations_pb2.ListRelationsRequest(id=w.outside), QUIET, READS),
    "RelationService.DeleteRelation": Case(
        lambda w: relations_pb2.DeleteRelationRequest(
            id=w.outside, type=relations_pb2.RELATION_TYPE_IS_BLOCKED_BY, task_id=w.task
        ),
        GONE,
        REFUSED,
    ),
    "RequestService.ForgetRequests": Case(lambda _: requests_pb2.ForgetRequestsRequest(), REFUSED, REFUSED),
    "SavedFilterService.CreateSavedFilter": Case(
        lambda w: saved_filters_pb2.CreateSavedFilterRequest(name="Mine", project_id=w.project), GONE, REFUSED
    ),
    "SavedFilterService.GetSavedFilter": Case(
        lambda w: saved_filters_pb2.GetSavedFilterRequest(id=w.saved_filter), GONE, SEES
    ),
    "SavedFilterService.ListSavedFilters": Case(lambda _: saved_filters_pb2.ListSavedFiltersRequest(), QUIET, SEES),
    "SavedFilterService.UpdateSavedFilter": Case(
        lambda w: saved_filters_pb2.UpdateSavedFilterRequest(id=w.saved_filter, name="M", update_mask=mask("name")),
        GONE,
        REFUSED,
    ),
    "SavedFilterService.DeleteSavedFilter": Case(
        lambda w: saved_filters_pb2.DeleteSavedFilterRequest(id=w.saved_filter), GONE, REFUSED
    ),
    "SearchService.SearchTasks": Case(lambda w: search_pb2.SearchTasksRequest(q=w.marker), QUIET, SEES),
    "SearchService.GetSearchSettings": Case(lambda _: search_pb2.GetSearchSettingsRequest(), QUIET, READS),
    "SearchService.SetSearchSettings": Case(lambda _: search_pb2.SetSearchSettingsRequest(), QUIET, READS),
    "SeriesService.ListOccurrences": Case(lambda w: series_pb2.ListOccurrencesRequest(id=w.recurring), GONE, READS),
    "SeriesService.SkipOccurrence": Case(
        lambda w: series_pb2.SkipOccurrenceRequest(id=w.recurring, occurrence=w.occurrence), GONE, REFUSED
    ),
    "SharingService.CreateShareLink": Case(
        lambda w: sharing_pb2.CreateShareLinkRequest(project_id=w.project), GONE, REFUSED
    ),
    "SharingService.ListShareLinks": Case(lambda _: sharing_pb2.ListShareLinksRequest(), QUIET, READS),
    "SharingService.GetShareLink": Case(lambda w: sharing_pb2.GetShareLinkRequest(id=w.link), GONE, GONE),
    "SharingService.DeleteShareLink": Case(lambda w: sharing_pb2.DeleteShareLinkRequest(id=w.link), GONE, GONE),
    # Whoever has the secret of a link needs nothing else.
    "SharingService.GetShared": Case(lambda w: sharing_pb2.GetSharedRequest(token=w.token), OPEN, OPEN),
    "SharingService.ListSharedTasks": Case(lambda w: sharing_pb2.ListSharedTasksRequest(token=w.token), OPEN, OPEN),
    "SharingService.ListSharedComments": Case(
        lambda w: sharing_pb2.ListSharedCommentsRequest(token=w.token, task_id=w.task), OPEN, OPEN
    ),
    "SharingService.CreateSharedComment": Case(
        lambda w: sharing_pb2.CreateSharedCommentRequest(token=w.token, task_id=w.task, text="Hello"), REFUSED, REFUSED
    ),
    "SyncService.Sync": Case(lambda _: sync_pb2.SyncRequest(), QUIET, SEES),
    "TaskService.CreateTask": Case(
        lambda w: tasks_pb2.CreateTaskRequest(title="Mine", project_id=w.project), GONE, REFUSED
    ),
    "TaskService.GetTask": Case(lambda w: tasks_pb2.GetTaskRequest(id=w.task), GONE, SEES),
    "TaskService.GetTaskByKey": Case(lambda w: tasks_pb2.GetTaskByKeyRequest(key=w.key), GONE, SEES),
    "TaskService.ListTasks": Case(lambda _: tasks_pb2.ListTasksRequest(), QUIET, SEES),
    "TaskService.ListAllTasks": Case(lambda _: tasks_pb2.ListAllTasksRequest(), REFUSED, REFUSED),
    "TaskService.UpdateTask": Case(
        lambda w: tasks_pb2.UpdateTaskRequest(id=w.task, title="Mine", update_mask=mask("title")), GONE, REFUSED
    ),
    "TaskService.ReplaceTask": Case(lambda w: tasks_pb2.ReplaceTaskRequest(id=w.task, title="Mine"), GONE, REFUSED),
    "TaskService.ListSubtasks": Case(lambda w: tasks_pb2.ListSubtasksRequest(id=w.outside), QUIET, SEES),
    "TaskService.DeleteTask": Case(lambda w: tasks_pb2.DeleteTaskRequest(id=w.task), GONE, REFUSED),
    "TaskService.AssignTask": Case(
        lambda w: tasks_pb2.AssignTaskRequest(id=w.task, assignee_id=str(w.keeper.id)), GONE, REFUSED
    ),
    "TaskService.UnassignTask": Case(
        lambda w: tasks_pb2.UnassignTaskRequest(id=w.task, assignee_id=str(w.keeper.id)), GONE, REFUSED
    ),
    "TaskService.CompleteTask": Case(lambda w: tasks_pb2.CompleteTaskRequest(id=w.task), GONE, REFUSED),
    "TaskService.ReopenTask": Case(lambda w: tasks_pb2.ReopenTaskRequest(id=w.subtask), GONE, REFUSED),
    "TaskService.SnoozeTask": Case(lambda w: tasks_pb2.SnoozeTaskRequest(id=w.task, until=in_days(1)), GONE, REFUSED),
    "TaskService.WatchTask": Case(lambda w: tasks_pb2.WatchTaskRequest(id=w.task), GONE, READS),
    "TaskService.UnwatchTask": Case(lambda w: tasks_pb2.UnwatchTaskRequest(id=w.task), GONE, READS),
    "TaskService.FavouriteTask": Case(lambda w: tasks_pb2.FavouriteTaskRequest(id=w.task), GONE, READS),
    "TaskService.UnfavouriteTask": Case(lambda w: tasks_pb2.UnfavouriteTaskRequest(id=w.task), GONE, READS),
    "TemplateService.CreateTemplate": Case(
        lambda w: templates_pb2.CreateTemplateRequest(name="Mine", from_project_id=w.project), GONE, REFUSED
    ),
    "TemplateService.GetTemplate": Case(lambda w: templates_pb2.GetTemplateRequest(id=w.template), GONE, SEES),
    "TemplateService.ListTemplates": Case(lambda _: templates_pb2.ListTemplatesRequest(), QUIET, SEES),
    "TemplateService.UpdateTemplate": Case(
        lambda w: templates_pb2.UpdateTemplateRequest(id=w.template, name="M", update_mask=mask("name")), GONE, REFUSED
    ),
    "TemplateService.DeleteTemplate": Case(lambda w: templates_pb2.DeleteTemplateRequest(id=w.template), GONE, REFUSED),
    # What is made of it is the user's own, and private.
    "TemplateService.InstantiateTemplate": Case(
        lambda w: templates_pb2.InstantiateTemplateRequest(id=w.template), GONE, READS
    ),
    "TrashService.ListTrash": Case(lambda _: trash_pb2.ListTrashRequest(), QUIET, SEES),
    "TrashService.RestoreTask": Case(lambda w: trash_pb2.RestoreTaskRequest(id=w.trashed), GONE, REFUSED),
    "TrashService.DeleteTrashedTask": Case(lambda w: trash_pb2.DeleteTrashedTaskRequest(id=w.trashed), GONE, REFUSED),
    "TrashService.PurgeTrash": Case(lambda _: trash_pb2.PurgeTrashRequest(), REFUSED, REFUSED),
}
ERRORS = {GONE: NotFound, REFUSED: PermissionDenied, NO_ADDRESS: Unprocessable}


def test_every_call_of_the_contract_is_walked() -> None:
    assert methods() == set(CASES)


async def outcome(world: World, method: str, user: Any) -> tuple[str, str]:
    """What a call gives to a user, and all that it says."""
    try:
        answer = await world.call(method, CASES[method].request(world), user)
    except AioRpcError as error:
        refusal: RotaError = from_rpc_error(error)
    except RotaError as error:
        refusal = error
    else:
        return "", str(answer)
    found = next((name for name, kind in ERRORS.items() if isinstance(refusal, kind)), repr(refusal))
    return found, f"{refusal!r} {refusal.detail} {refusal.violations} {refusal.metadata}"


async def test_who_does_not_see_a_private_project_finds_no_trace_of_it(world: World) -> None:
    wrong = {}
    hidden = {world.ids[name] for name in world.ids if name not in ("outside", "label", "token", "key", "occurrence")}
    for method, case in CASES.items():
        found, said = await outcome(world, method, world.outsider)
        if case.outsider == OPEN:
            continue
        if found != ("" if case.outsider == QUIET else case.outsider):
            wrong[method] = (found, said)
        # Of other ids than it was asked for, nothing is said either.
        leaked = [each for each in hidden if each in said] if case.outsider == QUIET else []
        if world.marker in said or leaked:
            wrong[method] = ("leaks", leaked, said)
    assert not wrong


async def test_who_only_reads_in_a_project_sees_all_of_it_and_changes_nothing(world: World) -> None:
    wrong = {}
    for method, case in CASES.items():
        found, said = await outcome(world, method, world.viewer)
        wanted = "" if case.viewer in (READS, SEES, OPEN) else case.viewer
        if found != wanted or (case.viewer == SEES and world.marker not in said):
            wrong[method] = (found, said)
    assert not wrong


@pytest.mark.parametrize("who", ["owner", "keeper"])
async def test_the_owner_of_the_workspace_and_its_members_see_it(world: World, who: str) -> None:
    user = getattr(world, who)
    for method, case in CASES.items():
        if case.viewer == SEES:
            found, said = await outcome(world, method, user)
            assert (found, world.marker in said) == ("", True), method
