"""When a task is due and may start, by its day or its instant, for filters and orders.

An older replica that still runs beside leaves them as they are; `python -m rota_tasks rebuild` writes those anew.
"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("ALTER TABLE tasks ADD COLUMN due timestamptz, ADD COLUMN start timestamptz")
    op.execute(
        """
        UPDATE tasks SET
            due = coalesce(due_at, (due_on + 1)::timestamp AT TIME ZONE zone.name - interval '1 microsecond'),
            start = coalesce(start_at, start_on::timestamp AT TIME ZONE zone.name)
        FROM (SELECT DISTINCT time_zone, coalesce(nullif(time_zone, ''), 'UTC') AS name FROM tasks) zone
        WHERE tasks.time_zone = zone.time_zone AND num_nonnulls(due_at, due_on, start_at, start_on) > 0
        """
    )
    op.execute("CREATE INDEX tasks_due_moment ON tasks (workspace_id, due, id)")
    op.execute("CREATE INDEX tasks_start_moment ON tasks (workspace_id, start, id)")


def downgrade() -> None:
    op.execute("ALTER TABLE tasks DROP COLUMN due, DROP COLUMN start")
