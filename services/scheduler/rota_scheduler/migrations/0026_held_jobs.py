"""The jobs that are held, by the ends of their leases: those without attempts left fail when nobody is heard of."""

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.execute("CREATE INDEX runs_held ON runs (available_at) WHERE queue IS NOT NULL AND status = 'running'")


def downgrade() -> None:
    op.execute("DROP INDEX runs_held")
