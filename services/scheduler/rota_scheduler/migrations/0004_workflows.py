"""Workflows, their versions and their runs."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE workflows (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL,
            definition jsonb NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE workflow_versions (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            version integer NOT NULL,
            name text NOT NULL,
            definition jsonb NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, id, version)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE workflow_runs (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            workflow_id uuid NOT NULL,
            workflow_version integer NOT NULL,
            definition jsonb NOT NULL,
            state jsonb NOT NULL,
            wake_at timestamptz,
            request_key text,
            started_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            finished_at timestamptz,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id)
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX workflow_runs_due ON workflow_runs (wake_at) WHERE wake_at IS NOT NULL")
    op.execute("CREATE UNIQUE INDEX workflow_runs_requested ON workflow_runs (workspace_id, workflow_id, request_key)")
    op.execute("CREATE INDEX workflow_runs_of ON workflow_runs (workspace_id, workflow_id, id)")
    op.execute(
        """
        CREATE TABLE workflow_actions (
            workspace_id uuid NOT NULL,
            run_id uuid NOT NULL,
            workflow_run_id uuid NOT NULL,
            key text NOT NULL,
            PRIMARY KEY (workspace_id, run_id)
        )
        """
    )


def downgrade() -> None:
    for table in ("workflow_actions", "workflow_runs", "workflow_versions", "workflows"):
        op.execute(f"DROP TABLE {table}")
