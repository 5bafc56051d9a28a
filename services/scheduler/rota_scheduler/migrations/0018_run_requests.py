"""Old requests of runs, found by their age."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute("CREATE INDEX run_requests_created_at ON run_requests (created_at)")


def downgrade() -> None:
    op.execute("DROP INDEX run_requests_created_at")
