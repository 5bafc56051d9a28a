"""The trash; indexes for the history of a task."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE trash (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            version integer NOT NULL,
            root_id uuid NOT NULL,
            deleted_at timestamptz NOT NULL,
            deleted_by uuid NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )
    op.execute("CREATE INDEX trash_root ON trash (workspace_id, root_id)")
    op.execute("CREATE INDEX trash_newest ON trash (workspace_id, deleted_at, id) WHERE id = root_id")
    op.execute("CREATE INDEX trash_deleted_at ON trash (deleted_at)")
    op.execute(
        """
        CREATE TABLE trashed_comments (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            task_id uuid NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )
    op.execute("CREATE INDEX trashed_comments_task ON trashed_comments (workspace_id, task_id)")
    op.execute(
        """
        CREATE TABLE trashed_relations (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            task_id uuid NOT NULL,
            other_id uuid NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )
    op.execute("CREATE INDEX trashed_relations_task ON trashed_relations (workspace_id, task_id)")
    op.execute("CREATE INDEX trashed_relations_other ON trashed_relations (workspace_id, other_id)")
    op.execute(
        """
        CREATE INDEX events_comment_task ON events (workspace_id, (data -> 'comment' ->> 'task_id'), position)
            WHERE aggregate = 'comment'
        """
    )
    for end in ("source_id", "task_id"):
        op.execute(
            f"""
            CREATE INDEX events_relation_{end} ON events (workspace_id, (data -> 'relation' ->> '{end}'), position)
                WHERE aggregate = 'relation'
            """
        )


def downgrade() -> None:
    for index in ("events_relation_task_id", "events_relation_source_id", "events_comment_task"):
        op.execute(f"DROP INDEX {index}")
    for table in ("trashed_relations", "trashed_comments", "trash"):
        op.execute(f"DROP TABLE {table}")
