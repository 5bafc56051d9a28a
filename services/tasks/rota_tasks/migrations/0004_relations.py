"""Relations between tasks."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE relations (
            workspace_id uuid NOT NULL,
            source_id uuid NOT NULL,
            type text NOT NULL,
            task_id uuid NOT NULL,
            id uuid NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, source_id, type, task_id),
            FOREIGN KEY (workspace_id, source_id) REFERENCES tasks (workspace_id, id) ON DELETE CASCADE,
            FOREIGN KEY (workspace_id, task_id) REFERENCES tasks (workspace_id, id) ON DELETE CASCADE,
            CHECK (source_id <> task_id)
        )
        """
    )
    op.execute("CREATE INDEX relations_task ON relations (workspace_id, task_id)")


def downgrade() -> None:
    op.execute("DROP TABLE relations")
