"""Invitations know the call that made them."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE invitations ADD request_key text, ADD fingerprint bytea")
    op.execute(
        """
        CREATE UNIQUE INDEX invitations_requested ON invitations (workspace_id, request_key)
        WHERE request_key IS NOT NULL
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE invitations DROP request_key, DROP fingerprint")
