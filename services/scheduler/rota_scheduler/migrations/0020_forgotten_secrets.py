"""Which tasks have an action, found by the action."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute("CREATE INDEX task_actions_action ON task_actions (workspace_id, action_id) WHERE action_id IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX task_actions_action")
