"""The copy of private projects, and the project of a task whose times are set; null for those set before."""

from alembic import op
from rota_chassis.postgres.schema import create_private_projects_v1

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    create_private_projects_v1(op.execute)
    op.execute("ALTER TABLE timers ADD project_id text")


def downgrade() -> None:
    op.execute("ALTER TABLE timers DROP project_id")
    op.execute("DROP TABLE private_projects_asked, private_projects")
