"""Resource pools have ids, for their events, and know the call that made them."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE resource_pools
            ADD id uuid NOT NULL DEFAULT gen_random_uuid(),
            ADD request_key text,
            ADD fingerprint bytea
        """
    )
    op.execute(
        """
        CREATE UNIQUE INDEX resource_pools_requested ON resource_pools (workspace_id, request_key)
        WHERE request_key IS NOT NULL
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE resource_pools DROP id, DROP request_key, DROP fingerprint")
