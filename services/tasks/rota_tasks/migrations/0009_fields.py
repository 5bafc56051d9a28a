"""Days, time zones and watchers of tasks; calls that do many things."""

from alembic import op

revision = "0009"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE tasks
            ADD COLUMN due_on date,
            ADD COLUMN start_on date,
            ADD COLUMN time_zone text NOT NULL DEFAULT '',
            ADD COLUMN watcher_ids uuid[] NOT NULL DEFAULT '{}'
        """
    )
    op.execute(
        """
        CREATE TABLE batch_requests (
            workspace_id uuid NOT NULL,
            user_id uuid NOT NULL,
            request_id text NOT NULL,
            fingerprint bytea NOT NULL,
            answer bytea,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (workspace_id, user_id, request_id)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE batch_requests")
    for name in ("due_on", "start_on", "time_zone", "watcher_ids"):
        op.execute(f"ALTER TABLE tasks DROP COLUMN {name}")
