"""Runs that people order, wait for others, and are tried once more."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE run_waits (
            workspace_id uuid NOT NULL,
            run_id uuid NOT NULL,
            after_id uuid NOT NULL,
            PRIMARY KEY (workspace_id, run_id, after_id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE run_requests (
            workspace_id uuid NOT NULL,
            user_id uuid NOT NULL,
            request_id text NOT NULL,
            fingerprint bytea NOT NULL,
            run_id uuid NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, user_id, request_id)
        )
        """
    )
    op.execute("ALTER TABLE run_origins ADD COLUMN retry_of uuid")
    op.execute("CREATE INDEX run_origins_retry ON run_origins (workspace_id, retry_of) WHERE retry_of IS NOT NULL")
    op.execute("CREATE INDEX run_history_failed ON run_history (workspace_id, id) WHERE status = 'failed'")


def downgrade() -> None:
    op.execute("DROP INDEX run_history_failed")
    op.execute("ALTER TABLE run_origins DROP COLUMN retry_of")
    op.execute("DROP TABLE run_requests")
    op.execute("DROP TABLE run_waits")
