"""What a user would write instead: one FastAPI process pool, SQLAlchemy's async ORM, pydantic models, a JWT check.

The table is Rota's, the answer has the same members, and a task is shown to members of its workspace only.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator  # noqa: TC003 (FastAPI reads annotations)
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ARRAY, DateTime, select
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["MONOLITH_POSTGRES_URL"], pool_size=10, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)
secret = os.environ["MONOLITH_SECRET"]
app = FastAPI()
bearer = HTTPBearer()


class Base(DeclarativeBase):
    """Every table."""


class MembershipRow(Base):
    """Who belongs to which workspace."""

    __tablename__ = "memberships"
    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)


class TaskRow(Base):
    """A task."""

    __tablename__ = "tasks"
    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID | None]
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    status: Mapped[str] = mapped_column(default="todo")
    priority: Mapped[str] = mapped_column(default="none")
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    remind_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    assignee_ids: Mapped[list[UUID]] = mapped_column(ARRAY(PgUUID), default=list)
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    completed_by: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(default=1)


class Task(BaseModel):
    """A task, as the API shows it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    workspace_id: UUID
    project_id: UUID | None
    title: str
    description: str
    status: str
    priority: str
    due_at: datetime | None
    remind_at: datetime | None
    assignee_ids: list[UUID]
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    completed_by: UUID | None
    version: int


class NewTask(BaseModel):
    """What a new task says."""

    title: str
    description: str = ""
    priority: str = "none"
    due_at: datetime | None = None


async def session() -> AsyncIterator[AsyncSession]:
    """A session for one request."""
    async with sessions() as opened:
        yield opened


def user_id(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> UUID:
    """Who calls."""
    try:
        claims: dict[str, Any] = jwt.decode(credentials.credentials, secret, algorithms=["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    return UUID(claims["sub"])


@app.get("/api/v1/tasks/{task_id}")
async def get_task(
    task_id: UUID, user: Annotated[UUID, Depends(user_id)], opened: Annotated[AsyncSession, Depends(session)]
) -> Task:
    """One task."""
    mine = select(MembershipRow.workspace_id).where(MembershipRow.user_id == user)
    row = await opened.scalar(select(TaskRow).where(TaskRow.id == task_id, TaskRow.workspace_id.in_(mine)))
    if row is None:
        raise HTTPException(404)
    return Task.model_validate(row)


@app.post("/api/v1/tasks", status_code=201)
async def create_task(
    new: NewTask, user: Annotated[UUID, Depends(user_id)], opened: Annotated[AsyncSession, Depends(session)]
) -> Task:
    """A new task in the user's first workspace."""
    workspace_id = await opened.scalar(
        select(MembershipRow.workspace_id).where(MembershipRow.user_id == user).order_by(MembershipRow.workspace_id)
    )
    if workspace_id is None:
        raise HTTPException(404)
    now = datetime.now(UTC)
    row = TaskRow(
        workspace_id=workspace_id, id=uuid4(), created_by=user, created_at=now, updated_at=now, **new.model_dump()
    )
    opened.add(row)
    await opened.commit()
    return Task.model_validate(row)
