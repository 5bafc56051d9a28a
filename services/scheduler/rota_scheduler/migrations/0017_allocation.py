"""What runs share: resource pools, rates and groups of concurrency keys; unique and debounced runs."""

from alembic import op

revision = "0017"
down_revision = "0016"

_RANK = "(date_part('epoch', available_at - to_timestamp(0)) - priority * 6)"
_OF_SCHEDULES = (
    "concurrency_policy text",
    "concurrency_group text",
    "rate_limit jsonb",
    "resources jsonb",
    '"unique" jsonb',
)


def upgrade() -> None:
    op.execute(f"ALTER TABLE schedules {', '.join(f'ADD {column}' for column in _OF_SCHEDULES)}")
    # Runs that have a lane start only as far as what they share allows; one lane asks for one thing, so that who is
    # first in it stands for all. Made by the database, so that an older replica that adds runs need not know of it.
    op.execute(
        """
        ALTER TABLE runs
            ADD allocation jsonb,
            ADD lane text GENERATED ALWAYS AS (
                CASE WHEN concurrency_key IS NOT NULL OR allocation IS NOT NULL
                THEN coalesce(concurrency_key, '') || '/' || coalesce(allocation ->> 'lane', '') END
            ) STORED
        """
    )
    op.execute("ALTER TABLE run_history ADD allocation jsonb")
    op.execute("DROP INDEX runs_ranked, runs_keyed, runs_queued, runs_queued_keyed, runs_busy")
    op.execute(
        f"""
        CREATE INDEX runs_ranked ON runs ({_RANK}, available_at)
        WHERE available_at IS NOT NULL AND lane IS NULL AND queue IS NULL
        """
    )
    # For the turns of workspaces. Only what has not been claimed, so that claiming adds nothing to it.
    op.execute(
        f"""
        CREATE INDEX runs_of_workspace ON runs (workspace_id, {_RANK}, available_at)
        WHERE available_at IS NOT NULL AND lane IS NULL AND queue IS NULL AND status = 'pending'
        """
    )
    op.execute(
        f"""
        CREATE INDEX runs_laned ON runs (workspace_id, lane, {_RANK}, available_at)
        WHERE lane IS NOT NULL AND queue IS NULL
        """
    )
    op.execute(
        f"""
        CREATE INDEX runs_queued ON runs (workspace_id, queue, {_RANK}, available_at)
        WHERE queue IS NOT NULL AND lane IS NULL
        """
    )
    op.execute(
        f"""
        CREATE INDEX runs_queued_laned ON runs (workspace_id, queue, lane, {_RANK}, available_at)
        WHERE queue IS NOT NULL AND lane IS NOT NULL
        """
    )
    # What runs and waits of a key, and of what asks for units, whoever executes it.
    op.execute(
        """
        CREATE INDEX runs_keyed ON runs (workspace_id, concurrency_key, status, available_at)
        WHERE concurrency_key IS NOT NULL
        """
    )
    op.execute(
        """
        CREATE INDEX runs_allotted ON runs (workspace_id, status, available_at)
        WHERE allocation IS NOT NULL
        """
    )
    op.execute(
        """
        CREATE TABLE resource_pools (
            workspace_id uuid NOT NULL,
            name text NOT NULL COLLATE "C",
            units integer NOT NULL CHECK (units >= 0),
            description text NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, name)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE concurrency_keys (
            workspace_id uuid NOT NULL,
            concurrency_key text NOT NULL,
            concurrency_limit integer,
            rate_limit integer,
            rate_period_s integer,
            PRIMARY KEY (workspace_id, concurrency_key)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE run_starts (
            workspace_id uuid NOT NULL,
            concurrency_key text NOT NULL,
            started_at timestamptz NOT NULL,
            run_id uuid NOT NULL,
            fence integer NOT NULL,
            PRIMARY KEY (workspace_id, concurrency_key, started_at, run_id, fence)
        )
        """
    )
    op.execute("CREATE INDEX run_starts_old ON run_starts (started_at)")
    op.execute(
        """
        CREATE TABLE concurrency_turns (
            workspace_id uuid NOT NULL,
            concurrency_key text NOT NULL,
            concurrency_group text NOT NULL,
            served_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, concurrency_key, concurrency_group)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE run_uniques (
            workspace_id uuid NOT NULL,
            key text NOT NULL,
            run_id uuid NOT NULL,
            until timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, key)
        )
        """
    )
    op.execute("CREATE INDEX run_uniques_over ON run_uniques (until)")
    op.execute(
        """
        CREATE TABLE run_debounces (
            workspace_id uuid NOT NULL,
            key text NOT NULL,
            run_id uuid NOT NULL,
            first_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, key)
        )
        """
    )


def downgrade() -> None:
    for table in (
        *("run_debounces", "run_uniques", "concurrency_turns", "run_starts", "concurrency_keys", "resource_pools"),
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute(
        """
        DROP INDEX runs_ranked, runs_of_workspace, runs_laned, runs_queued, runs_queued_laned, runs_keyed, runs_allotted
        """
    )
    op.execute("ALTER TABLE runs DROP lane, DROP allocation")
    op.execute("ALTER TABLE run_history DROP allocation")
    for column in _OF_SCHEDULES:
        op.execute(f"ALTER TABLE schedules DROP {column.rsplit(' ', 1)[0]}")
    op.execute(
        f"""
        CREATE INDEX runs_ranked ON runs ({_RANK}, available_at)
        WHERE available_at IS NOT NULL AND concurrency_key IS NULL AND queue IS NULL
        """
    )
    op.execute(
        f"""
        CREATE INDEX runs_keyed ON runs (workspace_id, concurrency_key, {_RANK}, available_at)
        WHERE concurrency_key IS NOT NULL AND queue IS NULL
        """
    )
    op.execute(
        f"""
        CREATE INDEX runs_queued ON runs (workspace_id, queue, {_RANK}, available_at)
        WHERE queue IS NOT NULL AND concurrency_key IS NULL
        """
    )
    op.execute(
        f"""
        CREATE INDEX runs_queued_keyed ON runs (workspace_id, queue, concurrency_key, {_RANK}, available_at)
        WHERE queue IS NOT NULL AND concurrency_key IS NOT NULL
        """
    )
    op.execute(
        """
        CREATE INDEX runs_busy ON runs (workspace_id, concurrency_key, available_at)
        WHERE concurrency_key IS NOT NULL AND status = 'running'
        """
    )
