"""How the answers to HTTP calls began."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE runs ADD response text")


def downgrade() -> None:
    op.execute("ALTER TABLE runs DROP response")
