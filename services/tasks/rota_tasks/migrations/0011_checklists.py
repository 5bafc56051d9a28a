"""Checklists of tasks."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE checklist_items (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            task_id uuid NOT NULL,
            title text NOT NULL,
            is_done boolean NOT NULL,
            done_by uuid,
            done_at timestamptz,
            assignee_id uuid,
            position text COLLATE "C" NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id),
            FOREIGN KEY (workspace_id, task_id) REFERENCES tasks (workspace_id, id) ON DELETE CASCADE
        )
        """
    )
    # With `is_done`, so that the counts of a task are read from the index alone.
    op.execute("CREATE INDEX checklist_items_task ON checklist_items (workspace_id, task_id, position, id, is_done)")
    op.execute(
        """
        CREATE TABLE checklist_requests (
            workspace_id uuid NOT NULL,
            user_id uuid NOT NULL,
            request_id text NOT NULL,
            fingerprint bytea NOT NULL,
            item_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (workspace_id, user_id, request_id)
        )
        """
    )
    op.execute(
        """
        CREATE INDEX events_checklist_item_task
            ON events (workspace_id, (data -> 'checklist_item' ->> 'task_id'), position)
            WHERE aggregate = 'checklist_item'
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX events_checklist_item_task")
    op.execute("DROP TABLE checklist_requests")
    op.execute("DROP TABLE checklist_items")
