"""Schedules that fire on days of calendars only, found by the calendar."""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.execute(
        """
        CREATE INDEX schedules_only_calendars ON schedules
            USING gin ((spec #> '{spec,only_calendars}') jsonb_path_ops)
            WHERE spec #> '{spec,only_calendars}' <> '[]'
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX schedules_only_calendars")
