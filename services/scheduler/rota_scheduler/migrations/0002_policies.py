"""What becomes of local times that a zone skips, or shows twice."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE schedules ADD dst_gap text NOT NULL DEFAULT 'gap_end'")
    op.execute("ALTER TABLE schedules ADD dst_fold text NOT NULL DEFAULT 'first'")


def downgrade() -> None:
    op.execute("ALTER TABLE schedules DROP dst_gap, DROP dst_fold")
