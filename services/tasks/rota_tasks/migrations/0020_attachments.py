"""Attachments of tasks, and the ledger of what is in the file store."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE attachments (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            task_id uuid NOT NULL,
            name text NOT NULL,
            media_type text NOT NULL,
            size bigint NOT NULL,
            sha256 text NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )
    op.execute("CREATE INDEX attachments_task ON attachments (workspace_id, task_id, id)")
    op.execute(
        """
        CREATE TABLE attachment_objects (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            task_id uuid NOT NULL,
            state text NOT NULL CHECK (state IN ('pending', 'stored', 'deleted')),
            bytes bigint NOT NULL CHECK (bytes >= 0),
            created_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )
    op.execute("CREATE INDEX attachment_objects_task ON attachment_objects (workspace_id, task_id)")
    op.execute(
        "CREATE INDEX attachment_objects_passing ON attachment_objects (state, created_at) WHERE state <> 'stored'"
    )
    op.execute(
        """
        CREATE TABLE attachment_usage (
            workspace_id uuid PRIMARY KEY,
            bytes bigint NOT NULL CHECK (bytes >= 0)
        )
        """
    )
    op.execute(
        """
        CREATE INDEX events_attachment_task ON events (workspace_id, (data -> 'attachment' ->> 'task_id'), position)
            WHERE aggregate = 'attachment'
        """
    )
    op.execute(
        """
        CREATE TABLE attachment_requests (
            workspace_id uuid NOT NULL,
            user_id uuid NOT NULL,
            request_id text NOT NULL,
            fingerprint bytea NOT NULL,
            attachment_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (workspace_id, user_id, request_id)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX events_attachment_task")
    for table in ("attachment_requests", "attachment_usage", "attachment_objects", "attachments"):
        op.execute(f"DROP TABLE {table}")
