"""Runs that others end, runs of times that somebody asks for afterwards; the version of the time zones' data."""

from alembic import op

revision = "0003"
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
    op.execute("CREATE TABLE zone_data (version text NOT NULL)")
    # Cursors made so far may come from any version: the first start works them out.
    op.execute("INSERT INTO zone_data VALUES ('')")


def downgrade() -> None:
    op.execute("DROP TABLE zone_data")
    op.execute("UPDATE runs SET status = 'failed' WHERE status = 'cancelled'")
    op.execute("ALTER TABLE runs DROP CONSTRAINT runs_finished_check")
    op.execute(
        """
        ALTER TABLE runs ADD CONSTRAINT runs_check
        CHECK ((status IN ('succeeded', 'failed')) = (finished_at IS NOT NULL))
        """
    )
    op.execute("ALTER TABLE runs DROP backfilled")
