"""What reads rules and their logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import NotFound

from rota_scheduler.rules import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal

    from rota_scheduler.rules.dependencies import Rules
    from rota_scheduler.rules.domain import LogEntry, Rule


def no_such_rule() -> NotFound:
    """The answer to whoever may not know whether the rule exists."""
    return NotFound("There is no such rule.", code="RULE_NOT_FOUND")


async def get_rule(rules: Rules, user: UserPrincipal, *, rule_id: UUID) -> Rule:
    """One rule.

    Raises:
        NotFound: it does not exist, or not for the user.
    """
    rule = await store.get(rules.database, user_id=user.user_id, rule_id=rule_id)
    if rule is None:
        await rules.memberships.refresh(user.user_id)
        rule = await store.get(rules.database, user_id=user.user_id, rule_id=rule_id)
    if rule is None:
        raise no_such_rule()
    return rule


async def list_rules(
    rules: Rules, user: UserPrincipal, *, limit: int, before: UUID | None, workspace_id: UUID | None
) -> Sequence[Rule]:
    """The newest rules that the user may see (see `store.page`).

    Raises:
        NotFound: the user does not belong to the workspace.
    """
    if workspace_id is not None:
        await rules.memberships.require(user.user_id, workspace_id)
    return await store.page(rules.database, user_id=user.user_id, limit=limit, before=before, workspace_id=workspace_id)


async def list_log(
    rules: Rules, user: UserPrincipal, *, rule_id: UUID, limit: int, before: UUID | None
) -> Sequence[LogEntry]:
    """The newest entries of a rule's log that the user may see (see `store.page_of_log`).

    Raises:
        NotFound: the rule does not exist, or not for the user.
    """
    rule = await get_rule(rules, user, rule_id=rule_id)
    return await store.page_of_log(
        rules.database,
        user_id=user.user_id,
        workspace_id=rule.workspace_id,
        rule_id=rule.id,
        limit=limit,
        before=before,
    )
