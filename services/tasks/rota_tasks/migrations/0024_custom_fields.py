"""Custom fields of projects, and their values in tasks."""

from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE custom_fields (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            project_id uuid NOT NULL,
            name text NOT NULL,
            type text NOT NULL,
            options jsonb NOT NULL,
            required boolean NOT NULL,
            position text COLLATE "C" NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id),
            FOREIGN KEY (workspace_id, project_id) REFERENCES projects (workspace_id, id)
        )
        """
    )
    op.execute("CREATE INDEX custom_fields_project ON custom_fields (workspace_id, project_id, position, id)")
    op.execute("ALTER TABLE tasks ADD COLUMN fields jsonb NOT NULL DEFAULT '{}'")
    # Which tasks have a value: fields come and go, so that none can have an index of its own.
    op.execute("CREATE INDEX tasks_fields ON tasks USING gin (fields jsonb_path_ops) WHERE fields <> '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE tasks DROP COLUMN fields")
    op.execute("DROP TABLE custom_fields")
