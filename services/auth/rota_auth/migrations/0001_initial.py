"""Users, workspaces, memberships, sessions and the event log."""

from __future__ import annotations

from alembic import op
from rota_chassis.postgres.schema import create_event_log_v1

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE users (
            id uuid PRIMARY KEY,
            workspace_id uuid NOT NULL,
            email text NOT NULL,
            name text NOT NULL,
            role text NOT NULL,
            time_zone text NOT NULL,
            locale text NOT NULL,
            password_hash text NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX users_email ON users (lower(email))")
    op.execute(
        """
        CREATE TABLE workspaces (
            id uuid PRIMARY KEY,
            name text NOT NULL,
            owner_id uuid NOT NULL REFERENCES users (id),
            created_at timestamptz NOT NULL,
            version integer NOT NULL
        )
        """
    )
    # A user and their workspace name each other; the constraint waits until both are there.
    op.execute(
        """
        ALTER TABLE users ADD CONSTRAINT users_workspace_id_fkey
            FOREIGN KEY (workspace_id) REFERENCES workspaces (id) DEFERRABLE INITIALLY DEFERRED
        """
    )
    op.execute(
        """
        CREATE TABLE memberships (
            workspace_id uuid NOT NULL REFERENCES workspaces (id),
            user_id uuid NOT NULL REFERENCES users (id),
            role text NOT NULL,
            version integer NOT NULL,
            joined_at timestamptz NOT NULL,
            removed_at timestamptz,
            PRIMARY KEY (workspace_id, user_id)
        )
        """
    )
    op.execute("CREATE INDEX memberships_user ON memberships (user_id) WHERE removed_at IS NULL")
    op.execute(
        "CREATE INDEX memberships_joined ON memberships (workspace_id, joined_at, user_id) WHERE removed_at IS NULL"
    )
    op.execute(
        """
        CREATE TABLE sessions (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            generation integer NOT NULL,
            rotated_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX sessions_user ON sessions (user_id, expires_at)")
    op.execute(
        """
        CREATE TABLE refresh_tokens (
            hash bytea PRIMARY KEY,
            session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
            generation integer NOT NULL,
            expires_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id, expires_at)")
    create_event_log_v1(op.execute)
