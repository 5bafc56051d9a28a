"""Copies of a workspace, kept up to date through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rota.events.v1 import events_pb2
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
from rota_chassis.errors import Gone, InvalidArgument, NotFound, RotaError
from rota_chassis.events.log import NewEvent
from rota_chassis.ids import uuid7
from rota_chassis.pagination import PageTokens
from rota_chassis.postgres.database import Database, UnitOfWork
from rota_chassis.postgres.pool import prepare_connection
from rota_chassis.settings import DEVELOPMENT_SECRET
from rota_chassis.testing.services import User
from rota_tasks.rebuild import rebuild

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


async def test_a_copy_that_follows_equals_what_the_lists_give_whatever_happens(
    stage: Stage, issuer: TokenIssuer
) -> None:
    async def live(steps: list[tuple[str, int, int]]) -> None:
        user = new_user(stage, issuer)
        person, copy = Person(stage, user), Copy(stage, user)
        for action, one, other in [*WORLD, ("pull", 0, 0), *steps]:
            if action in ("page", "pull"):
                await getattr(copy, action)(1 + one)
            else:
                await person.do(action, one, other)
        await copy.pull(3)
        there = await read_all(stage, user)
        assert copy.things == there
        assert await copy.pull() == []
        anew = Copy(stage, user)
        await anew.pull()
        assert anew.things == there

    loop = asyncio.get_running_loop()

    @settings(max_examples=80, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def check(steps: list[tuple[str, int, int]]) -> None:
        asyncio.run_coroutine_threadsafe(live(steps), loop).result(60)

    await asyncio.to_thread(check)


async def test_a_copy_can_be_begun_in_an_empty_workspace_and_told_of_by_kind(stage: Stage) -> None:
    copy = Copy(stage, stage.ada)
    assert await copy.pull() == []
    label = await stage.labels.CreateLabel(labels_pb2.CreateLabelRequest(name="x"), metadata=stage.ada.metadata)
    task = await stage.create(label_ids=[label.label.id])
    heard = await copy.pull()
    assert [(each.kind, each.id, each.deleted, each.version) for each in heard] == [
        ("label", label.label.id, False, 1),
        ("task", task.id, False, 1),
    ]
    read = await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=task.id), metadata=stage.ada.metadata)
    assert heard[1].data.task == read.task
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    heard = await copy.pull()
    assert [(each.kind, each.id, each.deleted, each.version) for each in heard] == [("task", task.id, True, 2)]
    assert await copy.pull() == []


async def test_a_page_ends_before_it_grows_too_large_to_be_sent(stage: Stage) -> None:
    copy, large = Copy(stage, stage.ada), "\N{GRINNING FACE}" * 50_000
    await copy.pull()
    tasks = [await stage.create(f"task {number}", description=large) for number in range(45)]
    anew = Copy(stage, stage.ada)
    for each in (copy, anew):
        sizes = []
        more = True
        while more:
            each.heard = []
            more = await each.page(200)
            sizes.append(len(each.heard))
        assert sizes == [20, 20, 5]
        assert each.things.keys() == {("task", task.id) for task in tasks}


async def test_a_page_tells_of_a_thing_once_however_often_it_changed(stage: Stage) -> None:
    copy = Copy(stage, stage.ada)
    await copy.pull()
    task = await stage.create()
    for number in range(5):
        request = tasks_pb2.UpdateTaskRequest(
            id=task.id, title=f"title {number}", update_mask=FieldMask(paths=["title"])
        )
        await stage.tasks.UpdateTask(request, metadata=stage.ada.metadata)
    (change,) = await copy.pull()
    assert (change.version, change.data.task.title) == (6, "title 4")


async def test_what_commits_late_is_told_although_others_were_told_before(stage: Stage) -> None:
    """The late transaction has its id and its position before the others, and commits behind them."""
    copy = Copy(stage, stage.ada)
    await copy.pull()
    task = await stage.create("Late")
    await copy.pull()
    late = await asyncpg.connect(stage.database_url)
    await prepare_connection(late)
    transaction = late.transaction()
    await transaction.start()
    work = UnitOfWork(late)
    gone = tasks_pb2.Task.FromString(task.SerializeToString())
    gone.version = 2
    work.append(
        NewEvent(stage.ada.workspace_id, uuid7(), 2, events_pb2.LabelDeleted(label=labels_pb2.Label(id=str(uuid7())))),
        NewEvent(stage.ada.workspace_id, UUID(task.id), 2, events_pb2.TaskUpdated(task=gone)),
    )
    await work.write_events()
    await late.execute("UPDATE tasks SET title = 'Changed late' WHERE id = $1", task.id)
    first = await stage.create("First")
    second = await stage.create("Second")
    for _ in range(2):
        # They are told at once, and again, since something may still come before them.
        assert [each.id for each in await copy.pull()] == [first.id, second.id]
    assert await copy.page(1) is False
    await transaction.commit()
    heard = await copy.pull()
    assert {each.id for each in heard if each.kind == "task"} == {task.id, first.id, second.id}
    assert copy.things["task", task.id].title == "Changed late"
    assert await copy.pull() == []
    await late.close()


async def test_a_first_reading_misses_nothing_that_commits_meanwhile(stage: Stage) -> None:
    for number in range(7):
        await stage.create(f"task {number}")
    copy, begun = Copy(stage, stage.ada), asyncio.Event()

    async def write() -> None:
        await begun.wait()
        await asyncio.gather(*(stage.create(f"more {number}") for number in range(20)))

    writing = asyncio.create_task(write())
    while await copy.page(2):
        begun.set()
    await writing
    await copy.pull(3)
    assert copy.things == await read_all(stage, stage.ada)
    assert len(copy.things) == 27


async def test_many_writers_at_once_and_a_reader_meanwhile_end_with_the_same(stage: Stage) -> None:
    copy = Copy(stage, stage.ada)
    await copy.pull()
    parent = await stage.create("Parent")
    writing = asyncio.gather(*(stage.create(f"part {number}", parent_id=parent.id) for number in range(50)))
    while not writing.done():
        await copy.pull(10)
    await writing
    await copy.pull(10)
    assert copy.things == await read_all(stage, stage.ada)
    assert copy.things["task", parent.id].subtasks.total == 50


async def test_who_leaves_a_workspace_is_told_that_it_is_gone_and_reads_anew_when_back(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    task = await stage.create()
    request = sync_pb2.SyncRequest(workspace_id=str(stage.ada.workspace_id))
    first = await stage.sync.Sync(request, metadata=stage.grace.metadata)
    assert [each.id for each in first.changes] == [task.id]
    connection = await asyncpg.connect(stage.database_url)
    membership = "UPDATE memberships SET removed = $1, version = 9 WHERE workspace_id = $2 AND user_id = $3"
    await connection.execute(membership, True, stage.ada.workspace_id, stage.grace.id)
    left = await stage.sync.Sync(sync_pb2.SyncRequest(since=first.next_token), metadata=stage.grace.metadata)
    assert [(each.kind, each.id, each.deleted, each.version) for each in left.changes] == [
        ("workspace", str(stage.ada.workspace_id), True, 9)
    ]
    assert not left.has_more
    with pytest.raises(NotFound) as caught:
        await stage.sync.Sync(request, metadata=stage.grace.metadata)
    assert caught.value.code == "WORKSPACE_NOT_FOUND"
    await connection.execute(membership, False, stage.ada.workspace_id, stage.grace.id)
    back = await stage.sync.Sync(sync_pb2.SyncRequest(since=left.next_token), metadata=stage.grace.metadata)
    assert [each.id for each in back.changes] == [task.id]
    await connection.close()


async def test_favourites_are_told_to_their_user_alone(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    task = await stage.create()
    copy = Copy(stage, stage.ada)
    await copy.pull()
    request = sync_pb2.SyncRequest(workspace_id=str(stage.ada.workspace_id))
    graces = await stage.sync.Sync(request, metadata=stage.grace.metadata)
    await stage.tasks.FavouriteTask(tasks_pb2.FavouriteTaskRequest(id=task.id), metadata=stage.ada.metadata)
    (change,) = await copy.pull()
    assert change.data.task.is_favourite
    assert await copy.pull() == []
    answer = await stage.sync.Sync(sync_pb2.SyncRequest(since=graces.next_token), metadata=stage.grace.metadata)
    assert not answer.changes


async def test_a_token_of_another_user_or_workspace_or_none_at_all_is_refused(stage: Stage) -> None:
    answer = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    stage.auth.add_member(stage.grace.workspace_id, stage.ada.id)
    for user, since, workspace_id in (
        (stage.grace, answer.next_token, None),
        (stage.ada, answer.next_token, str(stage.grace.workspace_id)),
        (stage.ada, answer.next_token[:-2], None),
        (stage.ada, "x", None),
        (stage.ada, "é" * 100, None),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await stage.sync.Sync(sync_pb2.SyncRequest(since=since, workspace_id=workspace_id), metadata=user.metadata)
        assert (caught.value.code, caught.value.violations[0].field) == ("INVALID_SYNC_TOKEN", "since")


async def test_a_token_from_before_a_restored_backup_is_gone(stage: Stage) -> None:
    task = await stage.create()
    answer = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    connection = await asyncpg.connect(stage.database_url)
    # As rows that came with a dump from a cluster that had seen more transactions.
    await connection.execute("UPDATE events SET xid = '900000000000'")
    again = await stage.sync.Sync(sync_pb2.SyncRequest(since=answer.next_token), metadata=stage.ada.metadata)
    assert not again.changes
    anew = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)
    assert [each.id for each in anew.changes] == [task.id]
    tokens = PageTokens(DEVELOPMENT_SECRET)
    bound_to = ["sync", stage.ada.id]
    workspace_id, epoch, *cursor = tokens.decode(anew.next_token, bound_to=bound_to)
    for strange in ([workspace_id, "1.1", *cursor], [workspace_id, epoch, 2**62, *cursor[1:]]):
        request = sync_pb2.SyncRequest(since=tokens.encode(strange, bound_to=bound_to))
        with pytest.raises(Gone) as caught:
            await stage.sync.Sync(request, metadata=stage.ada.metadata)
        assert caught.value.code == "SYNC_TOKEN_GONE"
    await connection.close()


async def test_a_rebuild_changes_nothing_for_a_copy(stage: Stage) -> None:
    copy = Copy(stage, stage.ada)
    task = await stage.create()
    other = await stage.create("Other", parent_id=task.id)
    await copy.pull()
    await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=other.id), metadata=stage.ada.metadata)
    database = await Database.connect(stage.database_url)
    assert (await rebuild(database)).differences == 0
    await database.close()
    assert {(each.id, each.deleted) for each in await copy.pull()} == {(task.id, False), (other.id, True)}
    assert copy.things == await read_all(stage, stage.ada)
