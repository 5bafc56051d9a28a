"""Templates."""

from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE templates (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL,
            description text NOT NULL,
            content jsonb NOT NULL,
            makes_project boolean NOT NULL,
            task_count integer NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE templates")
