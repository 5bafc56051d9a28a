"""Indexes for boards by column, and for tasks by who watches them."""

from alembic import op

revision = "0018"
down_revision = "0017"

_RANK = "coalesce(position, 'l' || replace(id::text, '-', '') || '8') COLLATE \"C\""


def upgrade() -> None:
    for column, columns in (("state", "state_id, status"), ("section", "section_id")):
        op.execute(
            f"""
            CREATE INDEX tasks_board_{column} ON tasks (workspace_id, project_id, {columns}, ({_RANK}), id)
                WHERE project_id IS NOT NULL
            """
        )
        # They begin with what this one has.
        op.execute(f"DROP INDEX tasks_{column}")
    op.execute("CREATE INDEX tasks_watchers ON tasks USING gin (watcher_ids)")


def downgrade() -> None:
    op.execute("DROP INDEX tasks_watchers")
    for column in ("state", "section"):
        op.execute(
            f"CREATE INDEX tasks_{column} ON tasks (workspace_id, project_id, {column}_id)"
            f" WHERE {column}_id IS NOT NULL"
        )
        op.execute(f"DROP INDEX tasks_board_{column}")
