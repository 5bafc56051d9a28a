"""Old requests of runs, found by their age."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute("CREATE INDEX run_requests_created_at ON run_requests (created_at)")


def downgrade() -> None:
    op.execute("DROP INDEX run_requests_created_at")
