"""What keeping copies up to date goes by."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("CREATE INDEX events_transaction ON events (workspace_id, xid, position)")
    op.execute("CREATE INDEX relations_id ON relations (workspace_id, id)")
    op.execute(
        """
        CREATE TABLE favourite_changes (
            workspace_id uuid NOT NULL,
            user_id uuid NOT NULL,
            task_id uuid NOT NULL,
            xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
            PRIMARY KEY (workspace_id, user_id, task_id)
        )
        """
    )
    op.execute("CREATE INDEX favourite_changes_transaction ON favourite_changes (workspace_id, user_id, xid)")
    op.execute("CREATE INDEX favourite_changes_task ON favourite_changes (workspace_id, task_id)")


def downgrade() -> None:
    op.execute("DROP TABLE favourite_changes")
    op.execute("DROP INDEX relations_id")
    op.execute("DROP INDEX events_transaction")
