"""Timers, schedules and runs; the event log, the inbox and the copy of memberships."""

from alembic import op
from rota_chassis.postgres.schema import create_event_log_v1, create_inbox_v1, create_memberships_v1

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_event_log_v1(op.execute)
    create_inbox_v1(op.execute)
    create_memberships_v1(op.execute)
    op.execute(
        """
        CREATE TABLE timers (
            workspace_id uuid NOT NULL,
            task_id uuid NOT NULL,
            kind text NOT NULL,
            task_version integer NOT NULL,
            title text NOT NULL,
            recipient_ids uuid[] NOT NULL,
            fire_at timestamptz,
            fired_for timestamptz,
            firings integer NOT NULL DEFAULT 0,
            PRIMARY KEY (workspace_id, task_id, kind)
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX timers_due ON timers (fire_at) WHERE fire_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE schedules (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL,
            spec jsonb NOT NULL,
            timezone text NOT NULL,
            action jsonb NOT NULL,
            next_fire_at timestamptz,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id)
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX schedules_due ON schedules (next_fire_at) WHERE next_fire_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE runs (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            schedule_id uuid NOT NULL,
            nominal_time timestamptz NOT NULL,
            action jsonb NOT NULL,
            acts_for uuid NOT NULL,
            status text NOT NULL,
            available_at timestamptz,
            fence integer NOT NULL,
            attempts integer NOT NULL,
            started_at timestamptz,
            finished_at timestamptz,
            task_id uuid,
            http_status integer,
            error text,
            PRIMARY KEY (workspace_id, id),
            UNIQUE (workspace_id, schedule_id, nominal_time),
            CHECK ((status IN ('succeeded', 'failed')) = (finished_at IS NOT NULL)),
            CHECK ((available_at IS NULL) = (finished_at IS NOT NULL))
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX runs_available ON runs (available_at) WHERE available_at IS NOT NULL")


def downgrade() -> None:
    for table in ("runs", "schedules", "timers", "memberships", "inbox", "events"):
        op.execute(f"DROP TABLE {table}")
