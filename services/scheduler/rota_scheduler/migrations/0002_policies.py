"""How schedules fire: gaps and folds, bounds, delays, overlap, pauses; the skipped times."""

from alembic import op

revision = "0002"
down_revision = "0001"

_OF_SCHEDULES = (
    "dst_gap text NOT NULL DEFAULT 'gap_end'",
    "dst_fold text NOT NULL DEFAULT 'first'",
    "overlap text NOT NULL DEFAULT 'allow_all'",
    "catch_up_s integer NOT NULL DEFAULT 60",
    "misfire text NOT NULL DEFAULT 'one'",
    "jitter_s integer NOT NULL DEFAULT 0",
    "starts_at timestamptz",
    "ends_at timestamptz",
    "max_runs integer",
    "pause_after_failures integer",
    "delayed_until timestamptz",
    "paused boolean NOT NULL DEFAULT false",
    "pause_note text",
    "runs_started integer NOT NULL DEFAULT 0",
    "failures_in_row integer NOT NULL DEFAULT 0",
)
_OF_RUNS = (
    "due_at timestamptz",
    "buffered boolean NOT NULL DEFAULT false",
    "manual boolean NOT NULL DEFAULT false",
)


def upgrade() -> None:
    op.execute(f"ALTER TABLE schedules {', '.join(f'ADD {column}' for column in _OF_SCHEDULES)}")
    op.execute("DROP INDEX schedules_due")
    op.execute(
        """
        CREATE INDEX schedules_due ON schedules (coalesce(delayed_until, next_fire_at))
        WHERE coalesce(delayed_until, next_fire_at) IS NOT NULL
        """
    )
    op.execute("CREATE INDEX schedules_named ON schedules (workspace_id, name)")
    op.execute(f"ALTER TABLE runs {', '.join(f'ADD {column}' for column in _OF_RUNS)}")
    op.execute("ALTER TABLE runs DROP CONSTRAINT runs_check1")
    op.execute(
        """
        ALTER TABLE runs ADD CONSTRAINT runs_available_check
        CHECK ((available_at IS NULL) = (finished_at IS NOT NULL OR buffered))
        """
    )
    op.execute("CREATE INDEX runs_unfinished ON runs (workspace_id, schedule_id) WHERE finished_at IS NULL")
    op.execute(
        """
        CREATE TABLE skips (
            workspace_id uuid NOT NULL,
            schedule_id uuid NOT NULL,
            nominal_time timestamptz NOT NULL,
            through timestamptz,
            reason text NOT NULL,
            PRIMARY KEY (workspace_id, schedule_id, nominal_time)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE skips")
    op.execute("DROP INDEX runs_unfinished")
    # What waits for another run starts at once.
    op.execute("UPDATE runs SET buffered = false, available_at = now() WHERE buffered")
    op.execute("ALTER TABLE runs DROP CONSTRAINT runs_available_check")
    op.execute("ALTER TABLE runs ADD CONSTRAINT runs_check1 CHECK ((available_at IS NULL) = (finished_at IS NOT NULL))")
    op.execute(f"ALTER TABLE runs {', '.join(f'DROP {column.split()[0]}' for column in _OF_RUNS)}")
    op.execute("DROP INDEX schedules_named, schedules_due")
    op.execute(f"ALTER TABLE schedules {', '.join(f'DROP {column.split()[0]}' for column in _OF_SCHEDULES)}")
    op.execute("CREATE INDEX schedules_due ON schedules (next_fire_at) WHERE next_fire_at IS NOT NULL")
