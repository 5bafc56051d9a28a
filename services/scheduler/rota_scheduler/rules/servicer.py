"""rota.scheduler.v1.RuleService: messages in, use cases, messages out."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rota.scheduler.v1 import rules_pb2, rules_pb2_grpc
from rota_chassis.errors import InvalidArgument, Violation
from rota_chassis.identity import require_user

from rota_scheduler.rules import commands, queries
from rota_scheduler.rules.dryrun import dry_run
from rota_scheduler.rules.messages import edits_of, entry_message, match_message, members_of, rule_message

if TYPE_CHECKING:
    from datetime import datetime

    from rota_chassis.pagination import PageTokens

    from rota_scheduler.rules.dependencies import Rules

_NEVER_EMPTY = ("name", "on", "actions")


class RuleServicer(rules_pb2_grpc.RuleServiceServicer):
    """Serves rules and their logs."""

    def __init__(self, rules: Rules, page_tokens: PageTokens) -> None:
        self._rules = rules
        self._page_tokens = page_tokens

    async def CreateRule(self, request: rules_pb2.CreateRuleRequest, _context: Any) -> rules_pb2.CreateRuleResponse:
        user = require_user()
        rule = await commands.create_rule(
            self._rules,
            user,
            workspace_id=UUID(request.workspace_id) if request.HasField("workspace_id") else user.workspace_id,
            members=members_of(request),
            request_id=request.request_id,
        )
        return rules_pb2.CreateRuleResponse(rule=rule_message(rule))

    async def GetRule(self, request: rules_pb2.GetRuleRequest, _context: Any) -> rules_pb2.GetRuleResponse:
        rule = await queries.get_rule(self._rules, require_user(), rule_id=UUID(request.id))
        return rules_pb2.GetRuleResponse(rule=rule_message(rule))

    async def ListRules(self, request: rules_pb2.ListRulesRequest, _context: Any) -> rules_pb2.ListRulesResponse:
        user = require_user()
        workspace_id = UUID(request.workspace_id) if request.HasField("workspace_id") else None
        page = self._page_tokens.page(request, bound_to=["rules", user.user_id, workspace_id])
        found = await queries.list_rules(
            self._rules, user, limit=page.limit, before=page.cursor(UUID), workspace_id=workspace_id
        )
        rows, token = page.cut(found, lambda last: [last.id])
        return rules_pb2.ListRulesResponse(rules=map(rule_message, rows), next_page_token=token)

    async def UpdateRule(self, request: rules_pb2.UpdateRuleRequest, _context: Any) -> rules_pb2.UpdateRuleResponse:
        named = set(request.update_mask.paths)
        cleared = [field for field in _NEVER_EMPTY if field in named and not getattr(request, field)]
        if cleared:
            raise InvalidArgument(
                f"A rule always has {' and '.join(cleared)}.",
                code="INVALID_FIELDS",
                violations=[Violation(field, "cannot be empty", "required") for field in cleared],
            )
        rule = await commands.edit_rule(
            self._rules,
            require_user(),
            rule_id=UUID(request.id),
            edits=edits_of(request),
            if_match=request.if_match,
        )
        return rules_pb2.UpdateRuleResponse(rule=rule_message(rule))

    async def DeleteRule(self, request: rules_pb2.DeleteRuleRequest, _context: Any) -> rules_pb2.DeleteRuleResponse:
        await commands.delete_rule(self._rules, require_user(), rule_id=UUID(request.id), if_match=request.if_match)
        return rules_pb2.DeleteRuleResponse()

    async def ResumeRule(self, request: rules_pb2.ResumeRuleRequest, _context: Any) -> rules_pb2.ResumeRuleResponse:
        rule = await commands.resume_rule(self._rules, require_user(), rule_id=UUID(request.id))
        return rules_pb2.ResumeRuleResponse(rule=rule_message(rule))

    async def DryRunRule(self, request: rules_pb2.DryRunRuleRequest, _context: Any) -> rules_pb2.DryRunRuleResponse:
        found = await dry_run(
            self._rules,
            require_user(),
            rule_id=UUID(request.id),
            start=_instant(request, "from"),
            end=_instant(request, "to"),
            event_ids=[UUID(each) for each in request.event_ids],
        )
        return rules_pb2.DryRunRuleResponse(
            examined=found.examined,
            matched=found.matched,
            matches=map(match_message, found.matches),
            truncated=found.truncated,
        )

    async def ListRuleLog(self, request: rules_pb2.ListRuleLogRequest, _context: Any) -> rules_pb2.ListRuleLogResponse:
        user, rule_id = require_user(), UUID(request.id)
        page = self._page_tokens.page(request, bound_to=["rule log", user.user_id, rule_id])
        found = await queries.list_log(self._rules, user, rule_id=rule_id, limit=page.limit, before=page.cursor(UUID))
        rows, token = page.cut(found, lambda last: [last.id])
        return rules_pb2.ListRuleLogResponse(entries=map(entry_message, rows), next_page_token=token)


def _instant(request: Any, field: str) -> datetime | None:
    return getattr(request, field).ToDatetime(tzinfo=UTC) if request.HasField(field) else None
