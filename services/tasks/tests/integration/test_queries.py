"""How many queries a read takes, whatever it shows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rota.tasks.v1 import comments_pb2, labels_pb2, reactions_pb2, sync_pb2, tasks_pb2
from rota_chassis.postgres.database import Database
from rota_chassis.testing.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from conftest import Stage


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The reads that the service makes within the block."""
    asked: list[str] = []
    fetch, fetch_one = Database.fetch, Database.fetch_one

    async def counting_fetch(self: Database, statement: Any, **parameters: Any) -> Any:
        asked.append(statement.sql)
        return await fetch(self, statement, **parameters)

    async def counting_fetch_one(self: Database, statement: Any, **parameters: Any) -> Any:
        asked.append(statement.sql)
        return await fetch_one(self, statement, **parameters)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "fetch", counting_fetch)
        patch.setattr(Database, "fetch_one", counting_fetch_one)
        yield asked


async def test_a_read_takes_one_query_and_a_list_no_more_for_more_rows(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = await stage.labels.CreateLabel(labels_pb2.CreateLabelRequest(name="x"), metadata=stage.ada.metadata)
    whole = await stage.create(label_ids=[label.label.id])
    for _ in range(10):
        await stage.create(label_ids=[label.label.id], parent_id=whole.id)
    with counted(monkeypatch) as asked:
        await stage.tasks.GetTask(tasks_pb2.GetTaskRequest(id=whole.id), metadata=stage.ada.metadata)
    assert len(asked) == 1
    with counted(monkeypatch) as asked:
        answer = await stage.tasks.ListTasks(tasks_pb2.ListTasksRequest(), metadata=stage.ada.metadata)
    assert (len(asked), len(answer.tasks)) == (1, 11)
    with counted(monkeypatch) as asked:
        parts = await stage.tasks.ListSubtasks(tasks_pb2.ListSubtasksRequest(id=whole.id), metadata=stage.ada.metadata)
    assert (len(asked), len(parts.tasks)) == (2, 10)


async def test_a_list_of_comments_takes_no_more_queries_for_more_comments_and_reactions(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, metadata = await stage.create(), stage.ada.metadata
    for _ in range(5):
        comment = (
            await stage.comments.CreateComment(
                comments_pb2.CreateCommentRequest(task_id=task.id, text="x"), metadata=metadata
            )
        ).comment
        for emoji in ("👍", "🎉"):
            request = reactions_pb2.CreateReactionRequest(comment_id=comment.id, emoji=emoji)
            await stage.reactions.CreateReaction(request, metadata=metadata)
    with counted(monkeypatch) as asked:
        answer = await stage.comments.ListComments(comments_pb2.ListCommentsRequest(task_id=task.id), metadata=metadata)
    assert (len(asked), [len(each.reactions) for each in answer.comments]) == (2, [2] * 5)


async def test_a_page_of_changes_takes_as_many_queries_however_much_it_holds(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await stage.sync.Sync(sync_pb2.SyncRequest(), metadata=stage.ada.metadata)

    async def settled() -> bool:
        """Whether nothing comes twice: it does while transactions are open, those of other databases too."""
        nonlocal answer
        request = sync_pb2.SyncRequest(since=answer.next_token)
        answer = await stage.sync.Sync(request, metadata=stage.ada.metadata)
        return not answer.changes

    counts = []
    for size in (1, 20):
        await eventually(settled, timeout_s=30)
        for number in range(size):
            await stage.create(f"task {number}")
        with counted(monkeypatch) as asked:
            request = sync_pb2.SyncRequest(since=answer.next_token)
            answer = await stage.sync.Sync(request, metadata=stage.ada.metadata)
        assert len(answer.changes) == size
        counts.append(len(asked))
    assert counts == [4, 4]
