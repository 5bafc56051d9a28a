"""rota.tasks.v1.ReactionService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import reactions_pb2, reactions_pb2_grpc
from rota_chassis.identity import require_user

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
        page = self._page_tokens.page(request, bound_to=["reactions", user.user_id, request.comment_id])
        found = await queries.list_reactions(
            self._tasks, user, comment_id=UUID(request.comment_id), limit=page.limit, after=page.cursor(UUID)
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return reactions_pb2.ListReactionsResponse(reactions=map(reaction_message, rows), next_page_token=token)

    async def DeleteReaction(
        self, request: reactions_pb2.DeleteReactionRequest, _context: Any
    ) -> reactions_pb2.DeleteReactionResponse:
        await commands.delete_reaction(
            self._tasks, require_user(), comment_id=UUID(request.comment_id), emoji=request.emoji
        )
        return reactions_pb2.DeleteReactionResponse()
