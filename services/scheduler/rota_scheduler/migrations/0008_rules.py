"""Rules and their logs; where runs without a schedule come from."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE rules (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            project_id uuid,
            name text NOT NULL,
            events text[] NOT NULL,
            condition text NOT NULL,
            actions jsonb NOT NULL,
            enabled boolean NOT NULL,
            max_per_minute integer NOT NULL,
            hold text,
            held_at timestamptz,
            active_since timestamptz NOT NULL,
            window_started_at timestamptz NOT NULL,
            window_count integer NOT NULL,
            owner_id uuid NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            request_key text,
            fingerprint bytea,
            PRIMARY KEY (workspace_id, id)
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE UNIQUE INDEX rules_requested ON rules (workspace_id, request_key)")
    op.execute(
        """
        CREATE TABLE rule_log (
            workspace_id uuid NOT NULL,
            rule_id uuid NOT NULL,
            id uuid NOT NULL,
            event_id uuid NOT NULL,
            event_type text NOT NULL,
            event_time timestamptz NOT NULL,
            depth integer NOT NULL,
            outcome text NOT NULL,
            run_ids uuid[] NOT NULL,
            problems text[] NOT NULL,
            hold text,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, rule_id, id)
        )
        """
    )
    op.execute("CREATE INDEX rule_log_created_at ON rule_log (created_at)")
    op.execute(
        """
        CREATE TABLE run_origins (
            workspace_id uuid NOT NULL,
            run_id uuid NOT NULL,
            rule_id uuid,
            workflow_run_id uuid,
            causation_depth smallint NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (workspace_id, run_id)
        )
        """
    )
    op.execute("CREATE INDEX run_origins_created_at ON run_origins (created_at)")


def downgrade() -> None:
    for table in ("run_origins", "rule_log", "rules"):
        op.execute(f"DROP TABLE {table}")
