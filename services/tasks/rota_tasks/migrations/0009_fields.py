"""Days, time zones and watchers of tasks; favourites; calls that do many things."""

from alembic import op

revision = "0009"
down_revision = "0008"


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
    op.execute(
        """
        CREATE TABLE favourites (
            workspace_id uuid NOT NULL,
            user_id uuid NOT NULL,
            task_id uuid NOT NULL,
            PRIMARY KEY (workspace_id, user_id, task_id)
        )
        """
    )
    # No foreign key: a rebuild empties the tasks, and favourites are not in the log.
    op.execute("CREATE INDEX favourites_task ON favourites (workspace_id, task_id)")


def downgrade() -> None:
    op.execute("DROP TABLE favourites")
    op.execute("DROP TABLE batch_requests")
    for name in ("due_on", "start_on", "time_zone", "watcher_ids"):
        op.execute(f"ALTER TABLE tasks DROP COLUMN {name}")
