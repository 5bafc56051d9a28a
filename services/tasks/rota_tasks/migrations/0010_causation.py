"""How many rules led to an event."""

from alembic import op
from rota_chassis.postgres.schema import add_causation_depth_v1

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    add_causation_depth_v1(op.execute)


def downgrade() -> None:
    op.execute("ALTER TABLE events DROP causation_depth")
