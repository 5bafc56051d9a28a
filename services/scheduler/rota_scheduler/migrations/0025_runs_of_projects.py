"""Which projects runs came of, so that they are hidden with them: runs themselves keep it in their action."""

from alembic import op
from rota_chassis.postgres.schema import index_private_projects_v1

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    index_private_projects_v1(op.execute)
    op.execute("ALTER TABLE task_actions ADD project_id uuid")
    for table in ("workflow_runs", "rule_log"):
        op.execute(f"ALTER TABLE {table} ADD project_ids jsonb")


def downgrade() -> None:
    for table in ("workflow_runs", "rule_log"):
        op.execute(f"ALTER TABLE {table} DROP project_ids")
    op.execute("ALTER TABLE task_actions DROP project_id")
    op.execute("DROP INDEX private_projects_private")
