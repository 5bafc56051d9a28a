"""Old records of calls, found by their age. They are written in its order, so that an index of a few pages will do."""

from alembic import op

revision = "0031"
down_revision = "0030"
_TABLES = (
    "requests",
    "batch_requests",
    "comment_requests",
    "checklist_requests",
    "column_requests",
    "attachment_requests",
    "saved_filter_requests",
)


def upgrade() -> None:
    for table in _TABLES:
        op.execute(f"CREATE INDEX {table}_created_at ON {table} USING brin (created_at)")


def downgrade() -> None:
    for table in _TABLES:
        op.execute(f"DROP INDEX {table}_created_at")
