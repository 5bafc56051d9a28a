"""Sessions by when they are over."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("CREATE INDEX sessions_expires_at ON sessions (expires_at)")


def downgrade() -> None:
    op.execute("DROP INDEX sessions_expires_at")
