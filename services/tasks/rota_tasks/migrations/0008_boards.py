"""Sections and states of projects, and where a task stands among them."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE projects
            ADD COLUMN description text NOT NULL DEFAULT '',
            ADD COLUMN color text NOT NULL DEFAULT '',
            ADD COLUMN archived boolean NOT NULL DEFAULT false
        """
    )
    for table, more in (
        (
            "states",
            "status_group text NOT NULL, color text NOT NULL, wip_limit integer NOT NULL, transitions jsonb NOT NULL,",
        ),
        ("sections", ""),
    ):
        op.execute(
            f"""
            CREATE TABLE {table} (
                workspace_id uuid NOT NULL,
                id uuid NOT NULL,
                project_id uuid NOT NULL,
                name text NOT NULL,
                position text COLLATE "C" NOT NULL,
                {more}
                created_by uuid NOT NULL,
                created_at timestamptz NOT NULL,
                updated_at timestamptz NOT NULL,
                version integer NOT NULL,
                PRIMARY KEY (workspace_id, id),
                FOREIGN KEY (workspace_id, project_id) REFERENCES projects (workspace_id, id)
            )
            """
        )
        op.execute(f"CREATE INDEX {table}_project ON {table} (workspace_id, project_id, position, id)")
    op.execute(
        """
        ALTER TABLE tasks
            ADD COLUMN state_id uuid,
            ADD COLUMN section_id uuid,
            ADD COLUMN position text COLLATE "C",
            ADD COLUMN status_before text,
            ADD COLUMN state_id_before uuid
        """
    )
    # A task that was never moved stands where its id puts it: see `boards.domain.rank`.
    op.execute(
        """
        CREATE INDEX tasks_rank ON tasks
            (workspace_id, project_id, coalesce(position, 'l' || replace(id::text, '-', '') || '8') COLLATE "C", id)
            WHERE project_id IS NOT NULL
        """
    )
    op.execute("CREATE INDEX tasks_state ON tasks (workspace_id, project_id, state_id) WHERE state_id IS NOT NULL")
    op.execute(
        "CREATE INDEX tasks_section ON tasks (workspace_id, project_id, section_id) WHERE section_id IS NOT NULL"
    )


def downgrade() -> None:
    for column in ("state_id", "section_id", "position", "status_before", "state_id_before"):
        op.execute(f"ALTER TABLE tasks DROP COLUMN {column}")
    for column in ("description", "color", "archived"):
        op.execute(f"ALTER TABLE projects DROP COLUMN {column}")
    op.execute("DROP TABLE sections")
    op.execute("DROP TABLE states")
