"""A private project with one of everything, seen by people who may see different things."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from calling import in_days, stub
from rota.tasks.v1 import (
    attachments_pb2,
    batch_pb2,
    boards_pb2,
    checklists_pb2,
    comments_pb2,
    custom_fields_pb2,
    exports_pb2,
    imports_pb2,
    labels_pb2,
    project_members_pb2,
    projects_pb2,
    reactions_pb2,
    recurrence_pb2,
    relations_pb2,
    saved_filters_pb2,
    sharing_pb2,
    tasks_pb2,
    templates_pb2,
)
from rota_chassis.rpc import streams
from rota_chassis.testing.services import User

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from conftest import Stage
    from rota_chassis.testing.tokens import TokenIssuer

MARKER = "zqxmarker"
"""A word in every text of the private project, and nowhere else."""


@pytest.fixture
def settings(scheduler_address: str, tmp_path: Path) -> dict[str, Any]:
    return {"scheduler_address": scheduler_address, "attachments_folder": tmp_path}


@dataclass
class World:
    """Who there is, and the ids of what is in the private project, by what it is.

    Attributes:
        owner: Of the workspace.
        keeper: A member of it, who made the project and what is in it.
        viewer: A member of it, named in the project as one who reads.
        outsider: A member of it, not named in the project.
        marker: A word in every text of the private project, and nowhere else.
        ids: All but `outside`, a task in no project, and `label`, are in the project.
    """

    stage: Stage
    owner: User
    keeper: User
    viewer: User
    outsider: User
    marker: str = MARKER
    ids: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> str:
        try:
            return self.ids[name]
        except KeyError as error:
            raise AttributeError(name) from error

    async def call(self, method: str, request: Any, user: User) -> Any:
        """Call `Service.Method`; of a stream of answers the list."""
        service, _, name = method.partition(".")
        call = getattr(stub(service, self.stage.channel), name)
        if name == "CreateAttachment":
            return await streams.send(call(metadata=user.metadata), _file(request))
        if name == "DownloadAttachment":
            return [message async for message in call(request, metadata=user.metadata)]
        return await call(request, metadata=user.metadata)

    async def do(self, method: str, request: Any) -> Any:
        """Call as the keeper."""
        return await self.call(method, request, self.keeper)

    async def name(self, user: User, role: int = project_members_pb2.PROJECT_ROLE_MEMBER, **project: str) -> None:
        """Name a user in the project, or in another."""
        project_id = project.get("project_id", self.project)
        request = project_members_pb2.AddProjectMemberRequest(project_id=project_id, user_id=str(user.id), role=role)
        await self.do("ProjectMemberService.AddProjectMember", request)


async def _file(request: Any) -> AsyncGenerator[Any]:
    yield request
    yield attachments_pb2.CreateAttachmentRequest(data=MARKER.encode())
    yield attachments_pb2.CreateAttachmentRequest(complete=True)


@pytest.fixture
async def world(stage: Stage, issuer: TokenIssuer) -> World:
    keeper, viewer, outsider = (User(issuer) for _ in range(3))
    for user in (keeper, viewer, outsider):
        user.workspace_id = stage.ada.workspace_id
        user.token = issuer.access_token(user.id, user.workspace_id, session_id=user.session_id)
        stage.auth.add_member(user.workspace_id, user.id)
    made = World(stage, stage.ada, keeper, viewer, outsider)
    await _furnish(made)
    await made.name(viewer, project_members_pb2.PROJECT_ROLE_VIEWER)
    return made


async def _furnish(world: World) -> None:
    ids, do = world.ids, world.do

    async def task(name: str, **fields: Any) -> Any:
        request = tasks_pb2.CreateTaskRequest(title=f"{name} {MARKER}", **fields)
        made = (await do("TaskService.CreateTask", request)).task
        ids[name] = made.id
        return made

    project = (
        await do(
            "ProjectService.CreateProject",
            projects_pb2.CreateProjectRequest(
                name=f"Merger {MARKER}",
                description=MARKER,
                key="MERGER",
                visibility=projects_pb2.PROJECT_VISIBILITY_PRIVATE,
            ),
        )
    ).project
    ids["project"] = project.id
    within = {"project_id": project.id}
    state = boards_pb2.CreateStateRequest(name=f"Due diligence {MARKER}", group=tasks_pb2.TASK_STATUS_TODO, **within)
    ids["state"] = (await do("BoardService.CreateState", state)).state.id
    done = boards_pb2.CreateStateRequest(name=f"Signed {MARKER}", group=tasks_pb2.TASK_STATUS_DONE, **within)
    await do("BoardService.CreateState", done)
    section = boards_pb2.CreateSectionRequest(name=f"Papers {MARKER}", **within)
    ids["section"] = (await do("BoardService.CreateSection", section)).section.id
    custom = custom_fields_pb2.CreateCustomFieldRequest(
        name=f"Price {MARKER}", type=custom_fields_pb2.CUSTOM_FIELD_TYPE_TEXT, **within
    )
    ids["field"] = (await do("CustomFieldService.CreateCustomField", custom)).field.id
    label = labels_pb2.CreateLabelRequest(name="Everybody's")
    ids["label"] = (await do("LabelService.CreateLabel", label)).label.id
    outside = tasks_pb2.CreateTaskRequest(title="Water the plants")
    ids["outside"] = (await do("TaskService.CreateTask", outside)).task.id
    first = await task(
        "task",
        description=f"About {MARKER}",
        category=MARKER,
        due_at=in_days(2),
        section_id=ids["section"],
        label_ids=[ids["label"]],
        fields={ids["field"]: tasks_pb2.CustomValue(text=MARKER)},
        **within,
    )
    ids["key"] = first.key
    await task("subtask", parent_id=first.id, **within)
    await task("below_outside", parent_id=ids["outside"], **within)
    recurring = await task(
        "recurring",
        due_at=in_days(1),
        recurrence=recurrence_pb2.Recurrence(rrule="FREQ=DAILY"),
        **within,
    )
    ids["occurrence"] = recurring.occurrence
    await task("trashed", **within)
    await do("TaskService.DeleteTask", tasks_pb2.DeleteTaskRequest(id=ids["trashed"]))
    comment = comments_pb2.CreateCommentRequest(task_id=first.id, text=f"Said {MARKER}")
    ids["comment"] = (await do("CommentService.CreateComment", comment)).comment.id
    await do(
        "ReactionService.CreateReaction", reactions_pb2.CreateReactionRequest(comment_id=ids["comment"], emoji="👍")
    )
    item = checklists_pb2.CreateChecklistItemRequest(task_id=first.id, title=f"Step {MARKER}")
    ids["item"] = (await do("ChecklistService.CreateChecklistItem", item)).item.id
    attachment = attachments_pb2.CreateAttachmentRequest(
        task_id=first.id, name=f"{MARKER}.txt", media_type="text/plain", size=len(MARKER)
    )
    ids["attachment"] = (await do("AttachmentService.CreateAttachment", attachment)).attachment.id
    await do(
        "RelationService.CreateRelation",
        relations_pb2.CreateRelationRequest(
            id=first.id, type=relations_pb2.RELATION_TYPE_BLOCKS, task_id=ids["outside"]
        ),
    )
    template = templates_pb2.CreateTemplateRequest(name=f"Mergers {MARKER}", from_project_id=project.id)
    ids["template"] = (await do("TemplateService.CreateTemplate", template)).template.id
    link = await do("SharingService.CreateShareLink", sharing_pb2.CreateShareLinkRequest(task_id=first.id))
    ids |= {"link": link.link.id, "token": link.token}
    export = exports_pb2.CreateExportRequest(format=exports_pb2.EXPORT_FORMAT_ROTA, **within)
    ids["export"] = (await do("ExportService.CreateExport", export)).job.id
    saved = saved_filters_pb2.CreateSavedFilterRequest(name=f"Mine {MARKER}", is_shared=True, **within)
    ids["saved_filter"] = (await do("SavedFilterService.CreateSavedFilter", saved)).saved_filter.id
    imported = imports_pb2.CreateImportRequest(
        format=imports_pb2.IMPORT_FORMAT_CSV, content=f"title\nFrom a file {MARKER}\n", **within
    )
    ids["import"] = (await do("ImportService.CreateImport", imported)).job.id
    batch = batch_pb2.BatchTasksRequest(
        operations=[batch_pb2.BatchOperation(complete=tasks_pb2.CompleteTaskRequest(id=ids["subtask"]))]
    )
    ids["batch"] = (await do("BatchService.BatchTasks", batch)).batch_id
    assert ids["batch"]
