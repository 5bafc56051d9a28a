"""Series of recurring tasks and their occurrences; reminders before the due date."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE tasks
            ADD COLUMN recurrence jsonb,
            ADD COLUMN series_id uuid,
            ADD COLUMN occurrence text,
            ADD COLUMN remind_before_s bigint[] NOT NULL DEFAULT '{}'
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX tasks_occurrence ON tasks (workspace_id, series_id, occurrence)"
        " WHERE series_id IS NOT NULL"
    )
    op.execute(
        """
        CREATE TABLE task_series (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            version integer NOT NULL,
            data jsonb NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE task_occurrences (
            workspace_id uuid NOT NULL,
            series_id uuid NOT NULL,
            occurrence text NOT NULL,
            task_id uuid,
            PRIMARY KEY (workspace_id, series_id, occurrence)
        )
        """
    )
    op.execute("CREATE INDEX task_occurrences_task ON task_occurrences (workspace_id, task_id)")


def downgrade() -> None:
    op.execute("DROP TABLE task_occurrences")
    op.execute("DROP TABLE task_series")
    op.execute("DROP INDEX tasks_occurrence")
    for name in ("recurrence", "series_id", "occurrence", "remind_before_s"):
        op.execute(f"ALTER TABLE tasks DROP COLUMN {name}")
