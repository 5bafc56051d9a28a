"""Mails that tell of an invitation, and are for nobody known."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # An older replica that still runs beside claims them and sends nothing; they are taken again after its lease.
    op.execute(
        """
        ALTER TABLE email_deliveries
            ALTER COLUMN notification_id DROP NOT NULL,
            ADD COLUMN invitation_id uuid,
            ADD CHECK (num_nonnulls(notification_id, invitation_id) = 1)
        """
    )


def downgrade() -> None:
    op.execute("DELETE FROM email_deliveries WHERE notification_id IS NULL")
    op.execute("ALTER TABLE email_deliveries DROP COLUMN invitation_id, ALTER COLUMN notification_id SET NOT NULL")
