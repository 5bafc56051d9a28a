"""Imports: the jobs, their files, and what has been imported from where."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE imports (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            created_by uuid NOT NULL,
            format text NOT NULL,
            source text NOT NULL,
            project_id uuid,
            dry_run boolean NOT NULL,
            people jsonb NOT NULL,
            columns jsonb NOT NULL,
            status text NOT NULL,
            characters bigint NOT NULL,
            parts integer NOT NULL,
            progress jsonb NOT NULL,
            fence integer NOT NULL,
            attempts integer NOT NULL DEFAULT 0,
            lease_until timestamptz,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            finished_at timestamptz,
            request_id text,
            fingerprint bytea,
            PRIMARY KEY (workspace_id, id),
            UNIQUE (workspace_id, created_by, request_id)
        )
        """
    )
    op.execute("CREATE INDEX imports_of_user ON imports (created_by, id)")
    op.execute("CREATE INDEX imports_open ON imports (id) WHERE status IN ('waiting', 'queued', 'running')")
    op.execute(
        """
        CREATE TABLE import_parts (
            workspace_id uuid NOT NULL,
            import_id uuid NOT NULL,
            number integer NOT NULL,
            content text NOT NULL,
            PRIMARY KEY (workspace_id, import_id, number),
            FOREIGN KEY (workspace_id, import_id) REFERENCES imports (workspace_id, id) ON DELETE CASCADE
        )
        """
    )
    op.execute(
        """
        CREATE TABLE imported (
            workspace_id uuid NOT NULL,
            source text NOT NULL,
            key text NOT NULL,
            id uuid NOT NULL,
            PRIMARY KEY (workspace_id, source, key)
        )
        """
    )


def downgrade() -> None:
    for table in ("imported", "import_parts", "imports"):
        op.execute(f"DROP TABLE {table}")
