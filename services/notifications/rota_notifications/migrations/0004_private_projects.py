"""The copies of memberships and of private projects, and the project that a mail tells of."""

from alembic import op
from rota_chassis.postgres.schema import create_memberships_v1, create_private_projects_v1

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    create_memberships_v1(op.execute)
    create_private_projects_v1(op.execute)
    op.execute("ALTER TABLE email_deliveries ADD project_id uuid")


def downgrade() -> None:
    op.execute("ALTER TABLE email_deliveries DROP project_id")
    op.execute("DROP TABLE private_projects_asked, private_projects, memberships")
