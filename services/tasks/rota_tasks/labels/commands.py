"""What changes labels: one function a use case, one transaction each.

The unique name decides between two who create or rename at once: the loser is told that the label exists. So a
creation that is delivered twice makes one label.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from rota_chassis.errors import AlreadyExists, Violation
from rota_chassis.ids import uuid7
from rota_chassis.memberships import WRITERS, require_role

from rota_tasks.labels import domain, queries, store
from rota_tasks.labels.domain import Label
from rota_tasks.labels.messages import event_message
from rota_tasks.preconditions import require_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from uuid import UUID

    from rota_chassis.identity import UserPrincipal
    from rota_chassis.postgres.work import UnitOfWork

    from rota_tasks.labels.dependencies import Labels
    from rota_tasks.labels.domain import LabelEvent


async def create_label(labels: Labels, user: UserPrincipal, *, workspace_id: UUID, name: str, color: str) -> Label:
    """Create a label.

    Raises:
        NotFound: the workspace does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        AlreadyExists: the workspace has a label of that name.
    """
    await labels.memberships.require(user.user_id, workspace_id, WRITERS)
    now = labels.clock.now()
    label = Label(
        id=uuid7(),
        workspace_id=workspace_id,
        name=name,
        color=color,
        created_by=user.user_id,
        created_at=now,
        updated_at=now,
    )
    with _one_of_a_name(name):
        async with labels.database.transaction() as work:
            await _apply(work, [domain.LabelCreated(label)])
    return label


async def edit_label(
    labels: Labels, user: UserPrincipal, *, label_id: UUID, changes: Mapping[str, Any], if_match: str
) -> Label:
    """Set name or color.

    Raises:
        NotFound: the label does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        AlreadyExists: the workspace has another label of that name.
        PreconditionFailed: the label's entity tag is another.
    """
    with _one_of_a_name(changes.get("name", "")):
        return await _change(
            labels, user, label_id, if_match, lambda label: domain.edit(label, changes, now=labels.clock.now())
        )


async def delete_label(labels: Labels, user: UserPrincipal, *, label_id: UUID, if_match: str) -> None:
    """Delete a label; no task shows it from then on.

    Raises:
        NotFound: the label does not exist for the user.
        PermissionDenied: the user's role does not allow writing.
        PreconditionFailed: the label's entity tag is another.
    """
    await _change(labels, user, label_id, if_match, lambda label: domain.delete(label, now=labels.clock.now()))


async def _change(
    labels: Labels,
    user: UserPrincipal,
    label_id: UUID,
    if_match: str,
    decide: Callable[[Label], Sequence[LabelEvent]],
) -> Label:
    """Lock the label, let `decide` say what happens to it, and make it so; the label as it then is."""
    for _attempt in range(2):
        async with labels.database.transaction() as work:
            found = await store.lock(work, user_id=user.user_id, label_id=label_id)
            if found is not None:
                label, role = found
                require_role(role, WRITERS)
                require_version(if_match, version=label.version, etag=label.etag)
                events = decide(label)
                await _apply(work, events)
                return events[-1].label if events else label
        await labels.memberships.refresh(user.user_id)
    raise queries.no_such_label()


async def _apply(work: UnitOfWork, events: Sequence[LabelEvent]) -> None:
    for event in events:
        work.append(event_message(event))
        await store.project(work, event)


@contextmanager
def _one_of_a_name(name: str) -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise AlreadyExists(
            f"The workspace has a label named {name.strip()} already; use that one, or another name.",
            code="LABEL_EXISTS",
            violations=[Violation("name", "is the name of another label", "not_unique")],
        ) from error
