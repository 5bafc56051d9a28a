"""Tasks that are a part of another."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE tasks ADD COLUMN parent_id uuid")
    op.execute(
        """
        ALTER TABLE tasks ADD CONSTRAINT tasks_parent_fkey
            FOREIGN KEY (workspace_id, parent_id) REFERENCES tasks (workspace_id, id)
        """
    )
    op.execute(
        """
        CREATE INDEX tasks_parent ON tasks (workspace_id, parent_id, id) INCLUDE (status)
            WHERE parent_id IS NOT NULL
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE tasks DROP COLUMN parent_id")
