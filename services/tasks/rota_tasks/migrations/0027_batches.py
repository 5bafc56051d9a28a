"""What calls that did many things did, so that it can be undone."""

from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    # Parallel lists, an element for each event in their order.
    op.execute(
        """
        CREATE TABLE batches (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            user_id uuid NOT NULL,
            aggregates text[] NOT NULL,
            aggregate_ids uuid[] NOT NULL,
            aggregate_versions integer[] NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE batches")
