"""Jobs: runs of a queue, which workers from outside claim."""

from alembic import op

revision = "0013"
down_revision = "0012"

_RANK = "(date_part('epoch', available_at - to_timestamp(0)) - priority * 6)"


def upgrade() -> None:
    # Made of the action, so that whoever adds runs, an older replica too, need not know of queues.
    op.execute(
        """
        ALTER TABLE runs
            ADD work jsonb,
            ADD result jsonb,
            ADD queue text GENERATED ALWAYS AS (action -> 'job' ->> 'queue') STORED
        """
    )
    op.execute("ALTER TABLE run_history ADD work jsonb, ADD result jsonb")
    # Of the runs that are executed here, and of the jobs: whoever claims the ones does not meet the others.
    op.execute("DROP INDEX runs_available, runs_ranked, runs_keyed")
    op.execute("CREATE INDEX runs_available ON runs (available_at) WHERE available_at IS NOT NULL AND queue IS NULL")
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
    # What of a key runs, whoever executes it.
    op.execute(
        """
        CREATE INDEX runs_busy ON runs (workspace_id, concurrency_key, available_at)
        WHERE concurrency_key IS NOT NULL AND status = 'running'
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX runs_available, runs_ranked, runs_keyed, runs_queued, runs_queued_keyed, runs_busy")
    op.execute("CREATE INDEX runs_available ON runs (available_at) WHERE available_at IS NOT NULL")
    op.execute(
        f"""
        CREATE INDEX runs_ranked ON runs ({_RANK}, available_at)
        WHERE available_at IS NOT NULL AND concurrency_key IS NULL
        """
    )
    op.execute(
        f"""
        CREATE INDEX runs_keyed ON runs (workspace_id, concurrency_key, {_RANK}, available_at)
        WHERE concurrency_key IS NOT NULL
        """
    )
    op.execute("ALTER TABLE run_history DROP work, DROP result")
    op.execute("ALTER TABLE runs DROP queue, DROP work, DROP result")
