"""Somebody who changes a workspace at random, and a copy that follows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import strategies as st
from rota.tasks.v1 import (
    boards_pb2,
    checklists_pb2,
    comments_pb2,
    history_pb2,
    labels_pb2,
    projects_pb2,
    reactions_pb2,
    relations_pb2,
    sync_pb2,
    tasks_pb2,
    trash_pb2,
)
from rota_chassis.errors import RotaError
from rota_chassis.testing.services import User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Stage
    from rota_chassis.testing.tokens import TokenIssuer


Things = dict[tuple[str, str], Any]


@dataclass
class Copy:
    """A client that does what the contract says."""

    stage: Stage
    user: User
    token: str = ""
    things: Things = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    heard: list[Any] = field(default_factory=list)

    async def page(self, page_size: int = 200) -> bool:
        """Take one page; whether there is more."""
        answer = await self.stage.sync.Sync(
            sync_pb2.SyncRequest(since=self.token, page_size=page_size), metadata=self.user.metadata
        )
        keys = [(change.kind, change.id) for change in answer.changes]
        assert len(keys) == len(set(keys)) <= page_size
        for key, change in zip(keys, answer.changes, strict=True):
            assert change.HasField("data") is not change.deleted
            if change.version < self.versions.get(key, 0):
                continue
            self.versions[key] = change.version
            if change.deleted:
                self.things.pop(key, None)
            else:
                self.things[key] = getattr(change.data, change.kind)
        self.heard += answer.changes
        self.token = answer.next_token
        return bool(answer.has_more)

    async def pull(self, page_size: int = 200) -> list[Any]:
        """Take pages until there is no more; what they held."""
        self.heard = []
        while await self.page(page_size):
            pass
        return self.heard


async def pages(call: Any, request: Any, member: str, user: User) -> AsyncIterator[Any]:
    request.page_size = 200
    while True:
        answer = await call(request, metadata=user.metadata)
        for each in getattr(answer, member):
            yield each
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


async def read_all(stage: Stage, user: User) -> Things:
    """What the lists of the API give."""
    things: Things = {}
    projects = [
        each async for each in pages(stage.projects.ListProjects, projects_pb2.ListProjectsRequest(), "projects", user)
    ]
    for project in projects:
        things["project", project.id] = project
        states = await stage.boards.ListStates(
            boards_pb2.ListStatesRequest(project_id=project.id), metadata=user.metadata
        )
        sections = await stage.boards.ListSections(
            boards_pb2.ListSectionsRequest(project_id=project.id), metadata=user.metadata
        )
        things.update({("state", each.id): each for each in states.states})
        things.update({("section", each.id): each for each in sections.sections})
    async for label in pages(stage.labels.ListLabels, labels_pb2.ListLabelsRequest(), "labels", user):
        things["label", label.id] = label
    tasks = [each async for each in pages(stage.tasks.ListTasks, tasks_pb2.ListTasksRequest(), "tasks", user)]
    for task in tasks:
        things["task", task.id] = task
        relations = pages(
            stage.relations.ListRelations, relations_pb2.ListRelationsRequest(id=task.id), "relations", user
        )
        async for relation in relations:
            forward = relation.type in (
                relations_pb2.RELATION_TYPE_BLOCKS,
                relations_pb2.RELATION_TYPE_DUPLICATES,
                relations_pb2.RELATION_TYPE_FINISHES_BEFORE,
            )
            older = relation.type == relations_pb2.RELATION_TYPE_RELATES and relation.source_id < relation.task_id
            if forward or older:
                things["relation", relation.id] = relation
        comments = pages(
            stage.comments.ListComments, comments_pb2.ListCommentsRequest(task_id=task.id), "comments", user
        )
        async for comment in comments:
            things["comment", comment.id] = comment
        listed = pages(
            stage.checklists.ListChecklistItems,
            checklists_pb2.ListChecklistItemsRequest(task_id=task.id),
            "items",
            user,
        )
        async for item in listed:
            things["checklist_item", item.id] = item
    return things


class Person:
    """Does something in a workspace, as numbers say; what is refused is left."""

    def __init__(self, stage: Stage, user: User) -> None:
        self.stage = stage
        self.user = user
        self.projects: list[str] = []
        self.labels: list[str] = []
        self.tasks: list[str] = []
        self.comments: list[tuple[str, str]] = []
        self.items: list[tuple[str, str]] = []

    async def do(self, action: str, one: int, other: int) -> None:
        if not self.tasks:
            action = "create_task"
        try:
            await getattr(self, action)(one, other)
        except RotaError as error:
            assert error.http_status < 500, error  # noqa: PT017 (the refusal is not what is tested)

    def _of(self, known: list[Any], number: int) -> Any:
        return known[number % len(known)] if known else None

    async def create_task(self, one: int, other: int) -> None:
        request = tasks_pb2.CreateTaskRequest(title=f"task {one}", parent_id=self._of([None, *self.tasks], one))
        request.MergeFrom(tasks_pb2.CreateTaskRequest(project_id=self._of([None, *self.projects], other)))
        label = self._of([None, *self.labels], other)
        request.label_ids.extend([label] if label else [])
        answer = await self.stage.tasks.CreateTask(request, metadata=self.user.metadata)
        self.tasks.append(answer.task.id)

    async def _update(self, task_id: str, **fields: Any) -> None:
        request = tasks_pb2.UpdateTaskRequest(id=task_id, update_mask=FieldMask(paths=list(fields)), **fields)
        await self.stage.tasks.UpdateTask(request, metadata=self.user.metadata)

    async def rename_task(self, one: int, other: int) -> None:
        await self._update(self._of(self.tasks, one), title=f"renamed {other}")

    async def move_below(self, one: int, other: int) -> None:
        await self._update(self._of(self.tasks, one), parent_id=self._of([None, *self.tasks], other))

    async def mark(self, one: int, other: int) -> None:
        await self._update(self._of(self.tasks, one), label_ids=[self._of(self.labels, other)] if self.labels else [])

    async def complete(self, one: int, _other: int) -> None:
        request = tasks_pb2.CompleteTaskRequest(id=self._of(self.tasks, one))
        await self.stage.tasks.CompleteTask(request, metadata=self.user.metadata)

    async def reopen(self, one: int, _other: int) -> None:
        request = tasks_pb2.ReopenTaskRequest(id=self._of(self.tasks, one))
        await self.stage.tasks.ReopenTask(request, metadata=self.user.metadata)

    async def undo(self, one: int, _other: int) -> None:
        request = history_pb2.UndoTaskRequest(id=self._of(self.tasks, one))
        await self.stage.history.UndoTask(request, metadata=self.user.metadata)

    async def favour(self, one: int, other: int) -> None:
        task_id = self._of(self.tasks, one)
        if other % 2:
            await self.stage.tasks.FavouriteTask(
                tasks_pb2.FavouriteTaskRequest(id=task_id), metadata=self.user.metadata
            )
        else:
            await self.stage.tasks.UnfavouriteTask(
                tasks_pb2.UnfavouriteTaskRequest(id=task_id), metadata=self.user.metadata
            )

    async def delete_task(self, one: int, _other: int) -> None:
        request = tasks_pb2.DeleteTaskRequest(id=self._of(self.tasks, one))
        await self.stage.tasks.DeleteTask(request, metadata=self.user.metadata)

    async def restore_task(self, one: int, _other: int) -> None:
        request = trash_pb2.RestoreTaskRequest(id=self._of(self.tasks, one))
        await self.stage.trash.RestoreTask(request, metadata=self.user.metadata)

    async def purge_task(self, one: int, _other: int) -> None:
        request = trash_pb2.DeleteTrashedTaskRequest(id=self._of(self.tasks, one))
        await self.stage.trash.DeleteTrashedTask(request, metadata=self.user.metadata)

    async def create_label(self, one: int, other: int) -> None:
        request = labels_pb2.CreateLabelRequest(name=f"label {one}.{other}")
        answer = await self.stage.labels.CreateLabel(request, metadata=self.user.metadata)
        self.labels.append(answer.label.id)

    async def delete_label(self, one: int, _other: int) -> None:
        request = labels_pb2.DeleteLabelRequest(id=self._of([str(uuid4()), *self.labels], one))
        await self.stage.labels.DeleteLabel(request, metadata=self.user.metadata)

    async def create_project(self, one: int, other: int) -> None:
        answer = await self.stage.projects.CreateProject(
            projects_pb2.CreateProjectRequest(name=f"project {one}"), metadata=self.user.metadata
        )
        self.projects.append(answer.project.id)
        section = boards_pb2.CreateSectionRequest(project_id=answer.project.id, name=f"section {other}")
        await self.stage.boards.CreateSection(section, metadata=self.user.metadata)
        state = boards_pb2.CreateStateRequest(
            project_id=answer.project.id, name=f"state {other}", group=tasks_pb2.TASK_STATUS_TODO
        )
        await self.stage.boards.CreateState(state, metadata=self.user.metadata)

    async def delete_project(self, one: int, _other: int) -> None:
        request = projects_pb2.DeleteProjectRequest(id=self._of([str(uuid4()), *self.projects], one))
        await self.stage.projects.DeleteProject(request, metadata=self.user.metadata)

    async def relate(self, one: int, other: int) -> None:
        request = relations_pb2.CreateRelationRequest(
            id=self._of(self.tasks, one), type=self._type(one + other), task_id=self._of(self.tasks, other)
        )
        await self.stage.relations.CreateRelation(request, metadata=self.user.metadata)

    async def unrelate(self, one: int, other: int) -> None:
        request = relations_pb2.DeleteRelationRequest(
            id=self._of(self.tasks, one), type=self._type(one + other), task_id=self._of(self.tasks, other)
        )
        await self.stage.relations.DeleteRelation(request, metadata=self.user.metadata)

    def _type(self, number: int) -> Any:
        return self._of(
            [
                relations_pb2.RELATION_TYPE_BLOCKS,
                relations_pb2.RELATION_TYPE_IS_BLOCKED_BY,
                relations_pb2.RELATION_TYPE_RELATES,
            ],
            number,
        )

    async def comment(self, one: int, other: int) -> None:
        answer = await self.stage.comments.CreateComment(
            comments_pb2.CreateCommentRequest(task_id=self._of(self.tasks, one), text=f"text {other}"),
            metadata=self.user.metadata,
        )
        self.comments.append((answer.comment.task_id, answer.comment.id))

    async def react(self, one: int, other: int) -> None:
        if self.comments:
            comment_id, emoji = self._of(self.comments, one)[1], self._of(["👍", "🎉"], other)
            if other % 2:
                gone = reactions_pb2.DeleteReactionRequest(comment_id=comment_id, emoji=emoji)
                await self.stage.reactions.DeleteReaction(gone, metadata=self.user.metadata)
            request = reactions_pb2.CreateReactionRequest(comment_id=comment_id, emoji=emoji)
            await self.stage.reactions.CreateReaction(request, metadata=self.user.metadata)

    async def add_item(self, one: int, other: int) -> None:
        request = checklists_pb2.CreateChecklistItemRequest(task_id=self._of(self.tasks, one), title=f"item {other}")
        answer = await self.stage.checklists.CreateChecklistItem(request, metadata=self.user.metadata)
        self.items.append((answer.item.task_id, answer.item.id))

    async def check_item(self, one: int, other: int) -> None:
        if self.items:
            task_id, item_id = self._of(self.items, one)
            request = checklists_pb2.UpdateChecklistItemRequest(
                task_id=task_id, id=item_id, is_done=bool(other % 2), update_mask=FieldMask(paths=["is_done"])
            )
            await self.stage.checklists.UpdateChecklistItem(request, metadata=self.user.metadata)

    async def delete_item(self, one: int, _other: int) -> None:
        if self.items:
            task_id, item_id = self._of(self.items, one)
            request = checklists_pb2.DeleteChecklistItemRequest(task_id=task_id, id=item_id)
            await self.stage.checklists.DeleteChecklistItem(request, metadata=self.user.metadata)

    async def delete_comment(self, one: int, _other: int) -> None:
        if self.comments:
            task_id, comment_id = self._of(self.comments, one)
            request = comments_pb2.DeleteCommentRequest(task_id=task_id, id=comment_id)
            await self.stage.comments.DeleteComment(request, metadata=self.user.metadata)


ACTIONS = sorted(name for name in vars(Person) if not name.startswith("_") and name != "do")


# A small world to begin with: a label on each task, a child, a blocked task, comments.
WORLD = [
    ("create_label", 0, 0),
    ("create_project", 0, 0),
    *(("create_task", 0, 1) for _ in range(3)),
    ("create_task", 1, 1),
    ("relate", 0, 3),
    ("relate", 2, 1),
    ("comment", 0, 0),
    ("comment", 3, 1),
    ("add_item", 1, 1),
]


STEPS = st.lists(
    st.tuples(st.sampled_from([*ACTIONS, "delete_task", "restore_task"]), st.integers(0, 4), st.integers(0, 4))
    | st.tuples(st.sampled_from(["page", "pull"]), st.integers(0, 4), st.just(0)),
    min_size=3,
    max_size=20,
)


def new_user(stage: Stage, issuer: TokenIssuer) -> User:
    user = User(issuer)
    stage.auth.add_user(user)
    return user
