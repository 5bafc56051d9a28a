"""Tasks that do something when their time has come."""

from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.execute("ALTER TABLE tasks ADD COLUMN execution jsonb")
    op.execute(
        """
        CREATE TABLE unblockings (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            task_id uuid NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE unblockings")
    op.execute("ALTER TABLE tasks DROP COLUMN execution")
