"""Comments on tasks."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE comments (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            task_id uuid NOT NULL,
            text text NOT NULL,
            mentioned_ids uuid[] NOT NULL,
            author_id uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id),
            FOREIGN KEY (workspace_id, task_id) REFERENCES tasks (workspace_id, id) ON DELETE CASCADE
        )
        """
    )
    op.execute("CREATE INDEX comments_task ON comments (workspace_id, task_id, id)")
    op.execute(
        """
        CREATE TABLE comment_requests (
            workspace_id uuid NOT NULL,
            user_id uuid NOT NULL,
            request_id text NOT NULL,
            fingerprint bytea NOT NULL,
            comment_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (workspace_id, user_id, request_id)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE comment_requests")
    op.execute("DROP TABLE comments")
