"""What lists with filters and orders, and full-text search, go by."""

from alembic import op

revision = "0006"
down_revision = "0005"

_PRIORITY = "array_position(ARRAY['none', 'low', 'medium', 'high', 'urgent'], priority)"
_INDEXES = {
    "tasks_updated": "(workspace_id, updated_at, id)",
    "tasks_due": "(workspace_id, due_at, id)",
    "tasks_start": "(workspace_id, start_at, id)",
    "tasks_deadline": "(workspace_id, deadline_at, id)",
    "tasks_priority": f"(workspace_id, ({_PRIORITY}), id)",
    "tasks_title": '(workspace_id, title COLLATE "C", id)',
    "tasks_status": "(workspace_id, status, id)",
    "tasks_labels": "USING gin (label_ids)",
    "tasks_assignees": "USING gin (assignee_ids)",
}


def upgrade() -> None:
    for name, columns in _INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON tasks {columns}")
    op.execute(
        """
        CREATE TABLE search_documents (
            workspace_id uuid NOT NULL,
            task_id uuid NOT NULL,
            document tsvector NOT NULL,
            PRIMARY KEY (workspace_id, task_id),
            FOREIGN KEY (workspace_id, task_id) REFERENCES tasks (workspace_id, id) ON DELETE CASCADE
        )
        """
    )
    op.execute(
        """
        INSERT INTO search_documents (workspace_id, task_id, document)
        SELECT workspace_id, id,
            setweight(to_tsvector('simple', title), 'A')
            || setweight(to_tsvector('simple', (
                SELECT coalesce(string_agg(l.name, ' ' ORDER BY l.id), '') FROM labels l
                WHERE l.workspace_id = t.workspace_id AND l.id = ANY(t.label_ids))), 'B')
            || setweight(to_tsvector('simple', description), 'C')
            || setweight(to_tsvector('simple', left((
                SELECT coalesce(string_agg(c.text, ' ' ORDER BY c.id DESC), '') FROM comments c
                WHERE c.workspace_id = t.workspace_id AND c.task_id = t.id), 50000)), 'D')
        FROM tasks t
        """
    )
    op.execute("CREATE INDEX search_documents_words ON search_documents USING gin (document)")


def downgrade() -> None:
    op.execute("DROP TABLE search_documents")
    for name in _INDEXES:
        op.execute(f"DROP INDEX {name}")
