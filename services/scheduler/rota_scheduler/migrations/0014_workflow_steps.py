"""Items of steps, and steps that wait for events."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE workflow_items (
            workspace_id uuid NOT NULL,
            workflow_run_id uuid NOT NULL,
            step text NOT NULL,
            place integer NOT NULL,
            item jsonb,
            output jsonb,
            error text,
            PRIMARY KEY (workspace_id, workflow_run_id, step, place)
        ) WITH (fillfactor = 80)
        """
    )
    op.execute(
        """
        CREATE TABLE workflow_waiters (
            workspace_id uuid NOT NULL,
            workflow_run_id uuid NOT NULL,
            key text NOT NULL,
            event_type text NOT NULL,
            subject uuid,
            condition text NOT NULL,
            since timestamptz,
            acts_for uuid NOT NULL,
            PRIMARY KEY (workspace_id, workflow_run_id, key)
        )
        """
    )
    op.execute("CREATE INDEX workflow_waiters_listening ON workflow_waiters (workspace_id, event_type, subject)")


def downgrade() -> None:
    op.execute("DROP TABLE workflow_waiters")
    op.execute("DROP TABLE workflow_items")
