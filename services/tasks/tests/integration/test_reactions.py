"""Reactions to comments through gRPC, on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import emoji as unicode_emoji
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from rota.tasks.v1 import comments_pb2, reactions_pb2, tasks_pb2, trash_pb2
from rota_chassis.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from rota_chassis.postgres.database import Database
from rota_tasks.rebuild import rebuild

if TYPE_CHECKING:
    from conftest import Stage
    from rota_chassis.testing.services import User


async def say(stage: Stage, task: tasks_pb2.Task | None = None) -> comments_pb2.Comment:
    task = task or await stage.create()
    request = comments_pb2.CreateCommentRequest(task_id=task.id, text="The basil too")
    return (await stage.comments.CreateComment(request, metadata=stage.ada.metadata)).comment


async def react(
    stage: Stage, comment: comments_pb2.Comment, emoji: str = "👍", *, user: User | None = None
) -> reactions_pb2.Reaction:
    request = reactions_pb2.CreateReactionRequest(comment_id=comment.id, emoji=emoji)
    return (await stage.reactions.CreateReaction(request, metadata=(user or stage.ada).metadata)).reaction


async def take_back(
    stage: Stage, comment: comments_pb2.Comment, emoji: str = "👍", *, user: User | None = None
) -> None:
    request = reactions_pb2.DeleteReactionRequest(comment_id=comment.id, emoji=emoji)
    await stage.reactions.DeleteReaction(request, metadata=(user or stage.ada).metadata)


async def all_on(
    stage: Stage, comment: comments_pb2.Comment, *, size: int = 50, user: User | None = None
) -> list[reactions_pb2.Reaction]:
    seen: list[reactions_pb2.Reaction] = []
    token = ""
    while True:
        request = reactions_pb2.ListReactionsRequest(comment_id=comment.id, page_size=size, page_token=token)
        answer = await stage.reactions.ListReactions(request, metadata=(user or stage.ada).metadata)
        seen += answer.reactions
        token = answer.next_page_token
        if not token:
            return seen


async def read(stage: Stage, comment: comments_pb2.Comment, *, user: User | None = None) -> comments_pb2.Comment:
    request = comments_pb2.GetCommentRequest(task_id=comment.task_id, id=comment.id)
    return (await stage.comments.GetComment(request, metadata=(user or stage.ada).metadata)).comment


async def counts(
    stage: Stage, comment: comments_pb2.Comment, *, user: User | None = None
) -> list[tuple[str, int, bool]]:
    return [(each.emoji, each.count, each.me) for each in (await read(stage, comment, user=user)).reactions]


async def differences(stage: Stage) -> int:
    database = await Database.connect(stage.database_url, size=1)
    try:
        return (await rebuild(database)).differences
    finally:
        await database.close()


async def test_a_comment_counts_reactions_for_whoever_reads(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    comment = await say(stage)
    assert await counts(stage, comment) == []
    first = await react(stage, comment)
    assert (first.user_id, first.comment_id, first.task_id) == (str(stage.ada.id), comment.id, comment.task_id)
    await react(stage, comment, user=stage.grace)
    await react(stage, comment, "🎉", user=stage.grace)
    assert await counts(stage, comment) == [("👍", 2, True), ("🎉", 1, False)]
    assert await counts(stage, comment, user=stage.grace) == [("👍", 2, True), ("🎉", 1, True)]
    request = comments_pb2.ListCommentsRequest(task_id=comment.task_id)
    (listed,) = (await stage.comments.ListComments(request, metadata=stage.ada.metadata)).comments
    assert listed == await read(stage, comment)
    assert (listed.version, listed.etag == comment.etag) == (1, False)
    assert [each.emoji for each in await all_on(stage, comment, size=2)] == ["👍", "👍", "🎉"]
    await take_back(stage, comment)
    assert await counts(stage, comment) == [("👍", 1, False), ("🎉", 1, False)]
    assert await differences(stage) == 0


async def test_reacting_and_taking_back_twice_changes_nothing(stage: Stage) -> None:
    comment = await say(stage)
    made = await asyncio.gather(*(react(stage, comment) for _ in range(8)))
    assert len({each.id for each in made}) == 1
    await asyncio.gather(*(take_back(stage, comment) for _ in range(8)))
    await take_back(stage, comment, "no emoji")
    again = await react(stage, comment)
    assert again.id != made[0].id
    connection = await asyncpg.connect(stage.database_url)
    rows = await connection.fetch(
        "SELECT type, aggregate_version AS version FROM events WHERE aggregate = 'reaction' ORDER BY position"
    )
    await connection.close()
    assert [tuple(row) for row in rows] == [("reaction.added", 1), ("reaction.removed", 2), ("reaction.added", 1)]
    assert await differences(stage) == 0


async def test_one_emoji_has_one_form(stage: Stage) -> None:
    comment = await say(stage)
    plain, qualified = "\u2764", "\u2764\ufe0f"
    assert (await react(stage, comment, plain)).emoji == qualified
    await react(stage, comment, qualified)
    assert await counts(stage, comment) == [(qualified, 1, True)]
    await take_back(stage, comment, plain)
    for emoji in ("👍🏽", "🏳️‍🌈", "👨‍👩‍👧‍👦", "🇩🇪", "#️⃣"):
        await react(stage, comment, emoji)
    assert [emoji for emoji, _, _ in await counts(stage, comment)] == ["👍🏽", "🏳️‍🌈", "👨‍👩‍👧‍👦", "🇩🇪", "#️⃣"]


async def test_what_is_not_one_emoji_is_refused(stage: Stage) -> None:
    comment = await say(stage)
    for text in ("", "a", "7", "👍👍", "👍 ", ":thumbs_up:", "🇩", "\u200d", "👍" * 33):
        with pytest.raises(InvalidArgument) as caught:
            await react(stage, comment, text)
        assert [each.field for each in caught.value.violations] == ["emoji"]
    assert await all_on(stage, comment) == []


async def test_reactions_are_for_members_who_may_write(stage: Stage) -> None:
    comment = await say(stage)
    await react(stage, comment)
    for attempt in (
        react(stage, comment, user=stage.grace),
        take_back(stage, comment, user=stage.grace),
        all_on(stage, comment, user=stage.grace),
        react(stage, comments_pb2.Comment(id=str(uuid4()))),
    ):
        with pytest.raises(NotFound) as caught:
            await attempt
        assert caught.value.code == "COMMENT_NOT_FOUND"


async def test_a_viewer_sees_reactions_and_makes_none(stage: Stage) -> None:
    comment = await say(stage)
    await react(stage, comment)
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id, role="viewer")
    assert await counts(stage, comment, user=stage.grace) == [("👍", 1, False)]
    assert len(await all_on(stage, comment, user=stage.grace)) == 1
    for attempt in (react(stage, comment, user=stage.grace), take_back(stage, comment, user=stage.grace)):
        with pytest.raises(PermissionDenied):
            await attempt


async def test_a_comment_has_at_most_fifty_emoji_however_many_react_at_once(stage: Stage) -> None:
    comment = await say(stage)
    faces = [each for each in unicode_emoji.EMOJI_DATA if len(each) == 1][:60]
    outcomes = await asyncio.gather(*(react(stage, comment, each) for each in faces), return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, Conflict)]
    assert (len(refused), {each.code for each in refused}) == (10, {"TOO_MANY_REACTIONS"})
    assert len(await counts(stage, comment)) == 50
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    (used, _, _), *_ = await counts(stage, comment)
    await react(stage, comment, used, user=stage.grace)
    assert (used, 2, True) in await counts(stage, comment)


async def test_a_changed_comment_keeps_its_reactions_and_tells_none_in_its_events(stage: Stage) -> None:
    comment = await say(stage)
    await react(stage, comment)
    request = comments_pb2.UpdateCommentRequest(
        task_id=comment.task_id,
        id=comment.id,
        text="No, the thyme",
        if_match=(await read(stage, comment)).etag,
        update_mask=FieldMask(paths=["text"]),
    )
    changed = (await stage.comments.UpdateComment(request, metadata=stage.ada.metadata)).comment
    assert [each.emoji for each in changed.reactions] == ["👍"]
    assert changed == await read(stage, comment)
    versions = comments_pb2.ListCommentVersionsRequest(task_id=comment.task_id, id=comment.id)
    answer = await stage.comments.ListCommentVersions(versions, metadata=stage.ada.metadata)
    assert not any(each.reactions for each in answer.versions)


async def test_reactions_go_with_comment_and_task_and_come_back_with_the_task(stage: Stage) -> None:
    task = await stage.create()
    kept, gone = await say(stage, task), await say(stage, task)
    reaction = await react(stage, kept)
    await react(stage, kept, "🎉")
    await take_back(stage, kept, "🎉")
    await react(stage, gone)
    delete = comments_pb2.DeleteCommentRequest(task_id=task.id, id=gone.id)
    await stage.comments.DeleteComment(delete, metadata=stage.ada.metadata)
    for _ in range(2):
        await stage.tasks.DeleteTask(tasks_pb2.DeleteTaskRequest(id=task.id), metadata=stage.ada.metadata)
        with pytest.raises(NotFound):
            await react(stage, kept)
        assert await differences(stage) == 0
        await stage.trash.RestoreTask(trash_pb2.RestoreTaskRequest(id=task.id), metadata=stage.ada.metadata)
        assert await all_on(stage, kept) == [reaction]
        with pytest.raises(NotFound):
            await all_on(stage, gone)
    await take_back(stage, kept)
    await react(stage, kept)
    assert await differences(stage) == 0


async def test_a_new_comment_names_those_who_watch_its_task(stage: Stage) -> None:
    stage.auth.add_member(stage.ada.workspace_id, stage.grace.id)
    task = await stage.create()
    await stage.tasks.WatchTask(tasks_pb2.WatchTaskRequest(id=task.id), metadata=stage.grace.metadata)
    await say(stage, task)
    connection = await asyncpg.connect(stage.database_url)
    told = await connection.fetchval("SELECT (data ->> 'watcher_ids') FROM events WHERE type = 'comment.created'")
    await connection.close()
    assert str(stage.grace.id) in told
