"""Members of projects, and private projects."""

from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.execute("ALTER TABLE projects ADD COLUMN visibility text NOT NULL DEFAULT 'workspace'")
    # Also those that were private when they were deleted: what is left of them stays hidden.
    op.execute(
        """
        CREATE TABLE private_projects (
            workspace_id uuid NOT NULL,
            project_id uuid NOT NULL,
            PRIMARY KEY (workspace_id, project_id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE project_members (
            workspace_id uuid NOT NULL,
            project_id uuid NOT NULL,
            user_id uuid NOT NULL,
            role text NOT NULL,
            added_by uuid NOT NULL,
            added_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, project_id, user_id)
        )
        """
    )
    op.execute("CREATE INDEX project_members_user ON project_members (workspace_id, user_id)")
    # What is in the trash belongs to the project that it was in.
    op.execute("ALTER TABLE trash ADD COLUMN project_id uuid")
    op.execute(
        """
        UPDATE trash SET project_id = CAST(events.data -> 'task' ->> 'project_id' AS uuid)
        FROM events
        WHERE events.workspace_id = trash.workspace_id AND events.aggregate_id = trash.id
            AND events.aggregate_version = trash.version
        """
    )
    op.execute("ALTER TABLE templates ADD COLUMN project_id uuid")


def downgrade() -> None:
    op.execute("ALTER TABLE templates DROP COLUMN project_id")
    op.execute("ALTER TABLE trash DROP COLUMN project_id")
    op.execute("DROP TABLE project_members")
    op.execute("DROP TABLE private_projects")
    op.execute("ALTER TABLE projects DROP COLUMN visibility")
