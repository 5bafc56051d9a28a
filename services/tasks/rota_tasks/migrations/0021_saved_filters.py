"""Saved filters."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE saved_filters (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL,
            filter text NOT NULL,
            order_by text NOT NULL,
            project_id uuid,
            is_favourite boolean NOT NULL,
            is_shared boolean NOT NULL,
            owner_id uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE saved_filter_requests (
            workspace_id uuid NOT NULL,
            user_id uuid NOT NULL,
            request_id text NOT NULL,
            fingerprint bytea NOT NULL,
            saved_filter_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (workspace_id, user_id, request_id)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE saved_filter_requests")
    op.execute("DROP TABLE saved_filters")
