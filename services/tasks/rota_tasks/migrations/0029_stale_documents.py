"""Notes of search documents that are to be made anew."""

from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    # Those of the tasks that have the label, or are in the project, behind the task `last_id`.
    op.execute(
        """
        CREATE TABLE stale_documents (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            label_id uuid,
            project_id uuid,
            last_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
            PRIMARY KEY (workspace_id, id),
            CHECK (num_nonnulls(label_id, project_id) = 1)
        )
        """
    )
    op.execute("CREATE INDEX stale_documents_oldest ON stale_documents (id)")


def downgrade() -> None:
    op.execute("DROP TABLE stale_documents")
