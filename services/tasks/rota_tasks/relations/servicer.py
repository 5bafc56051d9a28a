"""rota.tasks.v1.RelationService: messages in, use cases, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.tasks.v1 import relations_pb2, relations_pb2_grpc
from rota_chassis.identity import require_user
from rota_chassis.pagination import page_size

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
        bound_to = ["relations", user.user_id, request.id]
        after = None
        if request.page_token:
            kind, task_id = self._page_tokens.decode(request.page_token, bound_to=bound_to)
            after = (kind, UUID(task_id))
        limit = page_size(request.page_size)
        found = await queries.list_relations(self._tasks, user, task_id=UUID(request.id), limit=limit + 1, after=after)
        answer = relations_pb2.ListRelationsResponse(relations=[relation_message(each) for each in found[:limit]])
        if len(found) > limit:
            last = found[limit - 1]
            answer.next_page_token = self._page_tokens.encode([last.type.value, last.task_id], bound_to=bound_to)
        return answer

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
