"""rota.tasks.v1.RelationService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import relations_pb2, relations_pb2_grpc
from rota_chassis.identity import require_user

from rota_tasks.relations import commands, queries
from rota_tasks.relations.messages import TYPES, relation_message

if TYPE_CHECKING:
    from rota_chassis.pagination import PageTokens

    from rota_tasks.tasks.dependencies import Tasks


class RelationServicer(relations_pb2_grpc.RelationServiceServicer):
    """Serves relations."""

    def __init__(self, tasks: Tasks, page_tokens: PageTokens) -> None:
        self._tasks = tasks
        self._page_tokens = page_tokens

    async def CreateRelation(
        self, request: relations_pb2.CreateRelationRequest, _context: Any
    ) -> relations_pb2.CreateRelationResponse:
        relation = await commands.create_relation(
            self._tasks,
            require_user(),
            source_id=UUID(request.id),
            kind=TYPES[request.type],
            task_id=UUID(request.task_id),
            lag_s=request.lag_s,
        )
        return relations_pb2.CreateRelationResponse(relation=relation_message(relation))

    async def ListRelations(
        self, request: relations_pb2.ListRelationsRequest, _context: Any
    ) -> relations_pb2.ListRelationsResponse:
        user = require_user()
        page = self._page_tokens.page(request, bound_to=["relations", user.user_id, request.id])
        after = page.cursor(lambda kind, task_id: (kind, UUID(task_id)))
        found = await queries.list_relations(self._tasks, user, task_id=UUID(request.id), limit=page.limit, after=after)
        rows, token = page.cut(found, lambda last: [last.type.value, last.task_id])
        return relations_pb2.ListRelationsResponse(relations=map(relation_message, rows), next_page_token=token)

    async def DeleteRelation(
        self, request: relations_pb2.DeleteRelationRequest, _context: Any
    ) -> relations_pb2.DeleteRelationResponse:
        await commands.delete_relation(
            self._tasks,
            require_user(),
            source_id=UUID(request.id),
            kind=TYPES[request.type],
            task_id=UUID(request.task_id),
        )
        return relations_pb2.DeleteRelationResponse()
