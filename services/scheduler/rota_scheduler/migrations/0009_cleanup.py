"""What clean-ups look for: skipped times, ended runs of workflows and their actions, by their age."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # Skipped times are written in the order in which they come, or nearly.
    op.execute("CREATE INDEX skips_nominal_time ON skips USING brin (nominal_time)")
    op.execute("CREATE INDEX workflow_runs_finished ON workflow_runs (finished_at) WHERE finished_at IS NOT NULL")
    op.execute("CREATE INDEX workflow_actions_of ON workflow_actions (workspace_id, workflow_run_id)")


def downgrade() -> None:
    op.execute("DROP INDEX skips_nominal_time, workflow_runs_finished, workflow_actions_of")
