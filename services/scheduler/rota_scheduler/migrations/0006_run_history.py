"""Runs that have ended move to a history in partitions; priorities and concurrency keys."""

from alembic import op

revision = "0006"
down_revision = "0005"

_OF_RUNS = (
    "priority smallint NOT NULL DEFAULT 0",
    "concurrency_key text",
    "concurrency_limit integer NOT NULL DEFAULT 1",
)
# Six seconds of waiting are worth one step of priority; `runs.claims.RANK` says the same.
_RANK = "(date_part('epoch', available_at - to_timestamp(0)) - priority * 6)"
_QUEUE = {
    "fillfactor": "70",
    # By number of rows, since nearly all of them are dead soon.
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "5000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "20000",
}


def upgrade() -> None:
    op.execute(f"ALTER TABLE schedules {', '.join(f'ADD {column}' for column in _OF_RUNS)}")
    op.execute(f"ALTER TABLE runs {', '.join(f'ADD {column}' for column in _OF_RUNS)}")
    op.execute(f"ALTER TABLE runs SET ({', '.join(f'{name} = {value}' for name, value in _QUEUE.items())})")
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
    op.execute("CREATE INDEX runs_buffered ON runs (workspace_id, schedule_id, nominal_time) WHERE buffered")
    # What an older replica ends stays where it is until it is swept up.
    op.execute("CREATE INDEX runs_ended ON runs (finished_at) WHERE finished_at IS NOT NULL")
    # The constraint on (workspace, schedule, nominal time) has an index that does the same.
    op.execute("DROP INDEX runs_unfinished")
    op.execute(
        """
        CREATE TABLE run_history (
            LIKE runs INCLUDING DEFAULTS,
            PRIMARY KEY (workspace_id, id, finished_at)
        ) PARTITION BY RANGE (finished_at)
        """
    )
    op.execute("CREATE INDEX run_history_of_schedule ON run_history (workspace_id, schedule_id, nominal_time)")
    # For what no month has been made for.
    op.execute("CREATE TABLE run_history_rest PARTITION OF run_history DEFAULT")


def downgrade() -> None:
    op.execute("INSERT INTO runs SELECT * FROM run_history ON CONFLICT DO NOTHING")
    op.execute("DROP TABLE run_history")
    op.execute("DROP INDEX runs_ranked, runs_keyed, runs_buffered, runs_ended")
    op.execute("CREATE INDEX runs_unfinished ON runs (workspace_id, schedule_id) WHERE finished_at IS NULL")
    op.execute(f"ALTER TABLE runs RESET ({', '.join(name for name in _QUEUE if name != 'fillfactor')})")
    op.execute("ALTER TABLE runs SET (fillfactor = 80)")
    for table in ("runs", "schedules"):
        op.execute(f"ALTER TABLE {table} {', '.join(f'DROP {column.split()[0]}' for column in _OF_RUNS)}")
