"""Actions of tasks, as the tasks service tells of them, and their secrets."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE task_actions (
            workspace_id uuid NOT NULL,
            task_id uuid NOT NULL,
            version integer NOT NULL,
            action_id uuid,
            acts_for uuid,
            action jsonb,
            fire_at timestamptz,
            causation_depth smallint NOT NULL,
            fired_action_id uuid,
            fired_for timestamptz,
            run_id uuid,
            PRIMARY KEY (workspace_id, task_id)
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX task_actions_due ON task_actions (fire_at) WHERE fire_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE action_secrets (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            action jsonb NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE action_secrets")
    op.execute("DROP TABLE task_actions")
