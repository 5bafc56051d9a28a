"""Limits of concurrency keys have an id and a version, by which events tell of them."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE concurrency_keys ADD id uuid NOT NULL DEFAULT gen_random_uuid(),"
        " ADD version integer NOT NULL DEFAULT 1"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE concurrency_keys DROP id, DROP version")
