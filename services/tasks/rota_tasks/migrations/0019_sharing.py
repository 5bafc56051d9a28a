"""Links that show tasks and projects to people outside of their workspace."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE share_links (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            digest bytea NOT NULL UNIQUE,
            task_id uuid,
            project_id uuid,
            access text NOT NULL,
            expires_at timestamptz,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, id),
            CHECK (num_nonnulls(task_id, project_id) = 1)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE share_links")
