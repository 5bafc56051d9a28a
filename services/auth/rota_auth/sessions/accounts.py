"""Making a user with a workspace of their own, whoever asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota_chassis.errors import AlreadyExists
from rota_chassis.identity import Principal, acting_as
from rota_chassis.ids import uuid7
from rota_chassis.logs import logger

from rota_auth.users import domain as users
from rota_auth.users.domain import SystemRole
from rota_auth.users.messages import event_message, invalid_argument
from rota_auth.users.store import add_user, find_user_by_email
from rota_auth.workspaces import domain as workspaces
from rota_auth.workspaces.commands import record

if TYPE_CHECKING:
    from datetime import datetime

    from rota_chassis.clock import Clock
    from rota_chassis.postgres.database import Database, UnitOfWork

    from rota_auth.passwords.hashing import Passwords
    from rota_auth.users.domain import User
    from rota_auth.workspaces.domain import Workspace

_LOG = logger(__name__)


async def create_account(
    work: UnitOfWork, *, email: str, password_hash: str, name: str, role: SystemRole, now: datetime
) -> tuple[User, Workspace]:
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
    return user, created[-1].workspace


async def ensure_admin(
    database: Database, passwords: Passwords, *, email: str, password: str, name: str, clock: Clock
) -> None:
    """Make the first administrator, unless somebody has the e-mail address; several replicas may do it at once."""
    if await find_user_by_email(database, email) is not None:
        return
    password_hash = await passwords.hash(password)
    try:
        async with database.transaction() as work:
            user, _ = await create_account(
                work,
                email=email,
                password_hash=password_hash,
                name=name,
                role=SystemRole.ADMIN,
                now=clock.now(),
            )
    except AlreadyExists:
        return
    _LOG.info("admin.created", user_id=str(user.id))
