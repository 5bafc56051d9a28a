"""Short keys of projects and tasks.

Those that there are get theirs with their next change: a key comes with an event, so that a rebuild gives the same.
"""

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE projects
            ADD COLUMN key text NOT NULL DEFAULT '', ADD COLUMN last_number integer NOT NULL DEFAULT 0
        """
    )
    op.execute("ALTER TABLE tasks ADD COLUMN number integer")
    op.execute(
        """
        CREATE TABLE project_keys (
            workspace_id uuid NOT NULL,
            key text COLLATE "C" NOT NULL,
            project_id uuid NOT NULL,
            PRIMARY KEY (workspace_id, key)
        )
        """
    )
    op.execute("CREATE INDEX project_keys_project ON project_keys (workspace_id, project_id)")
    op.execute(
        """
        CREATE TABLE task_keys (
            workspace_id uuid NOT NULL,
            project_id uuid NOT NULL,
            number integer NOT NULL,
            task_id uuid NOT NULL,
            PRIMARY KEY (workspace_id, project_id, number)
        )
        """
    )
    op.execute("CREATE INDEX task_keys_task ON task_keys (workspace_id, task_id)")


def downgrade() -> None:
    op.execute("DROP TABLE task_keys")
    op.execute("DROP TABLE project_keys")
    op.execute("ALTER TABLE tasks DROP COLUMN number")
    op.execute("ALTER TABLE projects DROP COLUMN last_number, DROP COLUMN key")
