"""What changes rules.

Two at once: the rule's row is locked first, so they take turns, and `If-Match` tells the loser; those that add rules to
a workspace take turns by a lock on it. Dying before the commit leaves nothing; after it everything, the event included.
A creation that comes twice with one request id makes one rule.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from rota.events.v1 import events_pb2
from rota_chassis.errors import Conflict, InvalidArgument, PreconditionFailed, Unprocessable, Violation
from rota_chassis.filters.literals import Context
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_scheduler.actions.contract import units_asked
from rota_scheduler.resource_pools.checks import check_resources
from rota_scheduler.rules import domain, queries, store
from rota_scheduler.rules.domain import MAX_RULES, Rule
from rota_scheduler.rules.facts import OF_PROJECTS, check_condition
from rota_scheduler.rules.messages import event_of
from rota_scheduler.rules.templates import check_actions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_scheduler.rules.dependencies import Rules
    from rota_scheduler.rules.domain import Edits

ANY_ETAG = "*"
Result = TypeVar("Result")


async def create_rule(
    rules: Rules, user: UserPrincipal, *, workspace_id: UUID, members: Mapping[str, Any], request_id: str = ""
) -> Rule:
    """Create a rule.

    Args:
        rules: What it needs.
        user: Whom it acts for.
        workspace_id: Whose events it waits for.
        members: Of `Rule`: name, events and actions, and what is not to be the default.
        request_id: With the same one again, it is the same rule.

    Raises:
        InvalidArgument: its condition or its actions will not do (codes INVALID_FILTER, INVALID_ACTION,
            INVALID_FIELDS, and those of `check_resources`).
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        Conflict: the workspace has as many rules as it may (code RULE_LIMIT_REACHED).
        Unprocessable: the request id was used for another rule (code REQUEST_ID_REUSED).
    """
    now = rules.clock.now()
    rule = Rule(
        id=uuid7(),
        workspace_id=workspace_id,
        active_since=now,
        window_started_at=now,
        owner_id=user.user_id,
        created_by=user.user_id,
        created_at=now,
        updated_at=now,
        **members,
    )
    _check(rule)
    check_actions(rule.actions, rules.egress)
    await rules.memberships.require(user.user_id, workspace_id, WRITERS)
    key = f"{user.user_id}/{request_id}" if request_id else None
    fingerprint = hashlib.sha256(orjson.dumps(dict(members), option=orjson.OPT_SORT_KEYS)).digest() if key else None
    async with rules.database.transaction() as work:
        there = await store.count(work, workspace_id=workspace_id)
        first = await store.requested(work, workspace_id=workspace_id, request_key=key) if key else None
        if first is not None:
            if first[1] != fingerprint:
                raise Unprocessable(
                    "This idempotency key was used for another rule; use a new one.", code="REQUEST_ID_REUSED"
                )
            return first[0]
        if there >= MAX_RULES:
            raise Conflict(f"A workspace has at most {MAX_RULES} rules; delete one first.", code="RULE_LIMIT_REACHED")
        await check_resources(work, workspace_id=workspace_id, resources=units_asked(rule.actions))
        await store.add(work, rule, request_key=key, fingerprint=fingerprint)
        work.append(event_of(events_pb2.RuleCreated, rule, now))
    return rule


async def edit_rule(rules: Rules, user: UserPrincipal, *, rule_id: UUID, edits: Edits, if_match: str = "") -> Rule:
    """Change some members of a rule (see `domain.edit`).

    Raises:
        InvalidArgument: as for `create_rule`.
        NotFound: it does not exist, or not for the user.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: its entity tag is another.
    """
    if "actions" in edits.members:
        check_actions(edits.members["actions"], rules.egress)

    async def change(work: UnitOfWork, rule: Rule) -> Rule:
        now = rules.clock.now()
        edited = domain.edit(rule, edits, by=user.user_id, now=now)
        if edited is not rule:
            _check(edited)
            asked = units_asked(edits.members.get("actions", ()))
            await check_resources(work, workspace_id=rule.workspace_id, resources=asked)
            await store.save(work, edited)
            work.append(event_of(events_pb2.RuleUpdated, edited, now))
        return edited

    return await _change(rules, user, rule_id, change, if_match=if_match)


async def resume_rule(rules: Rules, user: UserPrincipal, *, rule_id: UUID) -> Rule:
    """Let a held rule be set off again. Raises as `edit_rule`."""

    async def change(work: UnitOfWork, rule: Rule) -> Rule:
        now = rules.clock.now()
        resumed = domain.resume(rule, by=user.user_id, now=now)
        if resumed is not rule:
            await store.save(work, resumed)
            work.append(event_of(events_pb2.RuleUpdated, resumed, now))
        return resumed

    return await _change(rules, user, rule_id, change)


async def delete_rule(rules: Rules, user: UserPrincipal, *, rule_id: UUID, if_match: str = "") -> None:
    """Delete a rule and its log. Raises as `edit_rule`."""

    async def change(work: UnitOfWork, rule: Rule) -> None:
        now = rules.clock.now()
        await store.remove(work, rule)
        work.append(event_of(events_pb2.RuleDeleted, replace(rule, version=rule.version + 1), now))

    await _change(rules, user, rule_id, change, if_match=if_match)


async def _change(
    rules: Rules,
    user: UserPrincipal,
    rule_id: UUID,
    change: Callable[[UnitOfWork, Rule], Awaitable[Result]],
    *,
    if_match: str = "",
) -> Result:
    """Lock the rule and let `change` do what it does; what that returns."""
    await queries.get_rule(rules, user, rule_id=rule_id)
    async with rules.database.transaction() as work:
        found = await store.lock(work, user_id=user.user_id, rule_id=rule_id)
        if found is None:
            raise queries.no_such_rule()
        rule, role = found
        require_role(role, WRITERS)
        if if_match not in ("", ANY_ETAG, rule.etag):
            raise PreconditionFailed(
                f"The rule has changed: its entity tag is {rule.etag}.",
                code="ETAG_MISMATCH",
                metadata={"etag": rule.etag},
            )
        return await change(work, rule)


def _check(rule: Rule) -> None:
    if rule.project_id is not None and not OF_PROJECTS.issuperset(rule.events):
        other = next(name for name in rule.events if name not in OF_PROJECTS)
        raise InvalidArgument(
            f"Events {other} do not say which project they belong to; leave out project_id, or the type.",
            code="INVALID_FIELDS",
            violations=[Violation("project_id", f"cannot be given together with {other}", "invalid_fields")],
        )
    try:
        check_condition(rule.condition, rule.events, Context(now=rule.updated_at, me=rule.owner_id))
    except InvalidArgument as error:
        raise InvalidArgument(
            error.detail,
            code=error.code,
            metadata=error.metadata,
            violations=[replace(each, field="when") for each in error.violations],
        ) from error
