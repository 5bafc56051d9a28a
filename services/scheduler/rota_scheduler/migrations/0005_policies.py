"""Runs that others end, and runs of times that somebody asks for afterwards."""

from alembic import op

revision = "0005"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE runs ADD backfilled boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE runs DROP CONSTRAINT runs_check")
    op.execute(
        """
        ALTER TABLE runs ADD CONSTRAINT runs_finished_check
        CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
        """
    )


def downgrade() -> None:
    op.execute("UPDATE runs SET status = 'failed' WHERE status = 'cancelled'")
    op.execute("ALTER TABLE runs DROP CONSTRAINT runs_finished_check")
    op.execute(
        """
        ALTER TABLE runs ADD CONSTRAINT runs_check
        CHECK ((status IN ('succeeded', 'failed')) = (finished_at IS NOT NULL))
        """
    )
    op.execute("ALTER TABLE runs DROP backfilled")
