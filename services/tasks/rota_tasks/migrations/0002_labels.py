"""Labels; more fields of tasks."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE labels (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL,
            name_key text NOT NULL,
            color text NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id),
            UNIQUE (workspace_id, name_key)
        )
        """
    )
    op.execute(
        """
        ALTER TABLE tasks
            ADD COLUMN label_ids uuid[] NOT NULL DEFAULT '{}',
            ADD COLUMN start_at timestamptz,
            ADD COLUMN deadline_at timestamptz,
            ADD COLUMN estimate_s bigint,
            ADD COLUMN progress smallint NOT NULL DEFAULT 0,
            ADD COLUMN category text NOT NULL DEFAULT ''
        """
    )


def downgrade() -> None:
    op.execute(
        """
        ALTER TABLE tasks
            DROP COLUMN label_ids, DROP COLUMN start_at, DROP COLUMN deadline_at,
            DROP COLUMN estimate_s, DROP COLUMN progress, DROP COLUMN category
        """
    )
    op.execute("DROP TABLE labels")
