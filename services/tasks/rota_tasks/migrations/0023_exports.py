"""Exports: the jobs and their files."""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE exports (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            created_by uuid NOT NULL,
            format text NOT NULL,
            project_id uuid,
            status text NOT NULL,
            tasks_total integer NOT NULL,
            tasks integer NOT NULL,
            records integer NOT NULL,
            characters bigint NOT NULL,
            parts integer NOT NULL,
            fence integer NOT NULL,
            attempts integer NOT NULL,
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
    op.execute("CREATE INDEX exports_open ON exports (id) WHERE status IN ('queued', 'running')")
    op.execute("CREATE INDEX exports_finished ON exports (finished_at)")
    op.execute(
        """
        CREATE TABLE export_parts (
            workspace_id uuid NOT NULL,
            export_id uuid NOT NULL,
            number integer NOT NULL,
            content text NOT NULL,
            PRIMARY KEY (workspace_id, export_id, number),
            FOREIGN KEY (workspace_id, export_id) REFERENCES exports (workspace_id, id) ON DELETE CASCADE
        )
        """
    )


def downgrade() -> None:
    for table in ("export_parts", "exports"):
        op.execute(f"DROP TABLE {table}")
