"""Tasks, projects, requests; the event log, the inbox and the copy of memberships."""

from alembic import op
from rota_chassis.postgres.schema import create_event_log_v1, create_inbox_v1, create_memberships_v1

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_event_log_v1(op.execute)
    create_inbox_v1(op.execute)
    create_memberships_v1(op.execute)
    op.execute(
        """
        CREATE TABLE projects (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE tasks (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            project_id uuid,
            title text NOT NULL,
            description text NOT NULL,
            status text NOT NULL,
            priority text NOT NULL,
            due_at timestamptz,
            remind_at timestamptz,
            assignee_ids uuid[] NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            completed_at timestamptz,
            completed_by uuid,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id),
            FOREIGN KEY (workspace_id, project_id) REFERENCES projects (workspace_id, id),
            CHECK ((status = 'done') = (completed_at IS NOT NULL))
        )
        """
    )
    op.execute("CREATE INDEX tasks_project ON tasks (workspace_id, project_id, id) WHERE project_id IS NOT NULL")
    op.execute(
        """
        CREATE TABLE requests (
            workspace_id uuid NOT NULL,
            user_id uuid NOT NULL,
            request_id text NOT NULL,
            fingerprint bytea NOT NULL,
            task_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (workspace_id, user_id, request_id)
        )
        """
    )


def downgrade() -> None:
    for table in ("requests", "tasks", "projects", "memberships", "inbox", "events"):
        op.execute(f"DROP TABLE {table}")
