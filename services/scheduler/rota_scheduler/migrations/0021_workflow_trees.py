"""Which run of a workflow a run of one is within, however deep."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute("ALTER TABLE workflow_runs ADD root_id uuid, ADD depth smallint NOT NULL DEFAULT 0")
    op.execute(
        "CREATE INDEX workflow_runs_within ON workflow_runs (workspace_id, root_id)"
        " WHERE root_id IS NOT NULL AND finished_at IS NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX workflow_runs_within")
    op.execute("ALTER TABLE workflow_runs DROP root_id, DROP depth")
