"""A workspace has one owner at most, whoever changes what at once."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        """
        CREATE UNIQUE INDEX memberships_owner ON memberships (workspace_id)
        WHERE role = 'owner' AND removed_at IS NULL
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX memberships_owner")
