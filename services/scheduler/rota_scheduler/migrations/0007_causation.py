"""How many rules led to an event."""

from alembic import op
from rota_chassis.postgres.schema import add_causation_depth_v1

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    add_causation_depth_v1(op.execute)


def downgrade() -> None:
    op.execute("ALTER TABLE events DROP causation_depth")
