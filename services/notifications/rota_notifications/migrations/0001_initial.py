"""Notifications, e-mail deliveries, people; the event log and the inbox."""

from alembic import op
from rota_chassis.postgres.schema import create_event_log_v1, create_inbox_v1

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_event_log_v1(op.execute)
    create_inbox_v1(op.execute)
    op.execute(
        """
        CREATE TABLE notifications (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            event_id uuid NOT NULL,
            user_id uuid NOT NULL,
            kind text NOT NULL,
            title text NOT NULL,
            body text NOT NULL,
            task_id uuid,
            read_at timestamptz,
            created_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id),
            UNIQUE (workspace_id, event_id, user_id, kind)
        )
        """
    )
    op.execute("CREATE INDEX notifications_user ON notifications (user_id, id)")
    op.execute("CREATE INDEX notifications_unread ON notifications (user_id, id) WHERE read_at IS NULL")
    op.execute(
        """
        CREATE TABLE email_deliveries (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            notification_id uuid NOT NULL,
            state text NOT NULL,
            attempts integer NOT NULL,
            fence integer NOT NULL,
            next_attempt_at timestamptz,
            last_error text,
            created_at timestamptz NOT NULL,
            sent_at timestamptz,
            PRIMARY KEY (workspace_id, id),
            UNIQUE (workspace_id, notification_id),
            FOREIGN KEY (workspace_id, notification_id) REFERENCES notifications (workspace_id, id) ON DELETE CASCADE,
            CHECK (state IN ('pending', 'sending', 'sent', 'failed')),
            CHECK ((state IN ('pending', 'sending')) = (next_attempt_at IS NOT NULL))
        )
        """
    )
    op.execute(
        "CREATE INDEX email_deliveries_due ON email_deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL"
    )
    op.execute(
        """
        CREATE TABLE people (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            email text NOT NULL,
            name text NOT NULL,
            time_zone text NOT NULL,
            locale text NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id)
        )
        """
    )
    op.execute("CREATE INDEX people_id ON people (id)")


def downgrade() -> None:
    for table in ("people", "email_deliveries", "notifications", "inbox", "events"):
        op.execute(f"DROP TABLE {table}")
