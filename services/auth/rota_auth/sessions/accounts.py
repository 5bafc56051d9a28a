"""Making a user with a workspace of their own, whoever asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rota_chassis.errors import AlreadyExists
from rota_chassis.identity import Principal, acting_as
from rota_chassis.ids import uuid7
from rota_chassis.logs import logger

from rota_auth.users import domain as users
from rota_auth.users.domain import SystemRole
from rota_auth.users.messages import event_message, invalid_argument
from rota_auth.users.queries import user_gone
from rota_auth.users.store import add_user, find_user_by_email, lock_user, save_user
from rota_auth.workspaces import domain as workspaces
from rota_auth.workspaces.commands import record
from rota_auth.workspaces.domain import WorkspaceRole
from rota_auth.workspaces.store import find_workspace_of, memberships_of_user

if TYPE_CHECKING:
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database
    from rota_chassis.postgres.work import UnitOfWork

    from rota_auth.passwords.hashing import Passwords
    from rota_auth.users.domain import User
    from rota_auth.workspaces.domain import Workspace

_LOG = logger(__name__)


class Account(NamedTuple):
    """A user, the workspace that is their own, and their role there."""

    user: User
    workspace: Workspace
    role: WorkspaceRole


async def create_account(
    work: UnitOfWork, *, email: str, password_hash: str, name: str, role: SystemRole, now: datetime
) -> Account:
    """A new user, owner of a new workspace.

    Raises:
        AlreadyExists: somebody has the e-mail address (code EMAIL_TAKEN).
        InvalidArgument: the name is empty.
    """
    user_id, workspace_id = uuid7(), uuid7()
    try:
        registered = users.register(user_id, workspace_id, email=email, name=name, role=role, now=now)
    except users.InvalidField as error:
        raise invalid_argument(error) from error
    user = registered.user
    created = workspaces.create(workspace_id, owner_id=user_id, owner_name=user.name, now=now)
    if not await add_user(work, user, password_hash):
        raise AlreadyExists("Somebody is registered under this e-mail address; log in instead.", code="EMAIL_TAKEN")
    # From here on the new user is the one who acts.
    with acting_as(Principal(user_id=user_id, workspace_id=workspace_id, role=role.value)):
        work.append(event_message(registered))
        await record(work, created)
    return Account(user, created[-1].workspace, WorkspaceRole.OWNER)


async def account_of(work: UnitOfWork, user: User, *, now: datetime) -> Account:
    """A user with their own workspace; another than before, if they do not belong to that any more.

    Whoever has handed their workspace over may leave it, or be taken out. Their own is then the oldest of which they
    are the owner, or a new one: nobody is without. Two at once take turns, and the second finds what the first did.

    Raises:
        Unauthenticated: there is no such user any more (code USER_GONE).
    """
    found = await find_workspace_of(work, user.workspace_id, user.id)
    if found is not None:
        return Account(user, *found)
    locked = await lock_user(work, user.id)
    if locked is None:
        raise user_gone()
    found = await find_workspace_of(work, locked.workspace_id, user.id)
    if found is None:
        locked = await _move(work, locked, now=now)
        found = await find_workspace_of(work, locked.workspace_id, user.id)
    if found is None:
        raise LookupError(f"user {user.id} has no workspace")
    return Account(locked, *found)


async def _move(work: UnitOfWork, user: User, *, now: datetime) -> User:
    owned = [each for each in await memberships_of_user(work, user.id) if each.role is WorkspaceRole.OWNER]
    home_id = min(owned, key=lambda each: each.joined_at).workspace_id if owned else uuid7()
    moved = users.move(user, home_id, now=now)
    await save_user(work, moved.user)
    with acting_as(Principal(user_id=user.id, workspace_id=home_id, role=user.role.value)):
        work.append(event_message(moved))
        if not owned:
            await record(work, workspaces.create(home_id, owner_id=user.id, owner_name=user.name, now=now))
    return moved.user


async def ensure_admin(
    database: Database, passwords: Passwords, *, email: str, password: str, name: str, clock: Clock
) -> None:
    """Make the first administrator, unless somebody has the e-mail address; several replicas may do it at once."""
    if await find_user_by_email(database, email) is not None:
        return
    password_hash = await passwords.hash(password)
    try:
        async with database.transaction() as work:
            account = await create_account(
                work,
                email=email,
                password_hash=password_hash,
                name=name,
                role=SystemRole.ADMIN,
                now=clock.now(),
            )
    except AlreadyExists:
        return
    _LOG.info("admin.created", user_id=str(account.user.id))
