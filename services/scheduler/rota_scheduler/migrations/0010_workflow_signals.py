"""Signals that have been taken; how many rules led to a run of a workflow."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("ALTER TABLE workflow_runs ADD causation_depth smallint NOT NULL DEFAULT 0")
    op.execute(
        """
        CREATE TABLE workflow_signals (
            workspace_id uuid NOT NULL,
            workflow_run_id uuid NOT NULL,
            request_key text NOT NULL,
            PRIMARY KEY (workspace_id, workflow_run_id, request_key)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE workflow_signals")
    op.execute("ALTER TABLE workflow_runs DROP causation_depth")
