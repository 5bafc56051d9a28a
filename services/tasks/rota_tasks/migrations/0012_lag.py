"""How long after one task has finished another may begin."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("ALTER TABLE relations ADD COLUMN lag_s integer NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE relations DROP COLUMN lag_s")
