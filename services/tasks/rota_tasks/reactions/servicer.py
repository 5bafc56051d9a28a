"""rota.tasks.v1.ReactionService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import reactions_pb2, reactions_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.pagination import page_size

from rota_tasks.reactions import commands, queries
from rota_tasks.reactions.messages import reaction_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.tasks.dependencies import Tasks


class ReactionServicer(reactions_pb2_grpc.ReactionServiceServicer):
    """Serves reactions."""

    def __init__(self, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def CreateReaction(
        self, request: reactions_pb2.CreateReactionRequest, _context: Any
    ) -> reactions_pb2.CreateReactionResponse:
        reaction = await commands.create_reaction(
            self._tasks, require_user(), comment_id=UUID(request.comment_id), emoji=request.emoji
        )
        return reactions_pb2.CreateReactionResponse(reaction=reaction_message(reaction))

    async def ListReactions(
        self, request: reactions_pb2.ListReactionsRequest, _context: Any
    ) -> reactions_pb2.ListReactionsResponse:
        user = require_user()
        bound_to = ["reactions", user.user_id, request.comment_id]
        after = None
        if request.page_token:
            after = UUID(self._page_tokens.decode(request.page_token, bound_to=bound_to)[0])
        limit = page_size(request.page_size)
        found = await queries.list_reactions(
            self._tasks, user, comment_id=UUID(request.comment_id), limit=limit + 1, after=after
        )
        answer = reactions_pb2.ListReactionsResponse(reactions=[reaction_message(each) for each in found[:limit]])
        if len(found) > limit:
            answer.next_page_token = self._page_tokens.encode([found[limit - 1].id], bound_to=bound_to)
        return answer

    async def DeleteReaction(
        self, request: reactions_pb2.DeleteReactionRequest, _context: Any
    ) -> reactions_pb2.DeleteReactionResponse:
        await commands.delete_reaction(
            self._tasks, require_user(), comment_id=UUID(request.comment_id), emoji=request.emoji
        )
        return reactions_pb2.DeleteReactionResponse()
