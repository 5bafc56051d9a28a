"""Series of recurring tasks, as the tasks service tells of them."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE task_series (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            version integer NOT NULL,
            data jsonb NOT NULL,
            wake_at timestamptz,
            PRIMARY KEY (workspace_id, id)
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX task_series_due ON task_series (wake_at) WHERE wake_at IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP TABLE task_series")
