"""Calendars of days off, which schedules keep to."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE calendars (
            workspace_id uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL,
            time_zone text NOT NULL,
            dates text[] NOT NULL,
            weekdays smallint[] NOT NULL,
            rrules text[] NOT NULL,
            created_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            followed_version integer NOT NULL,
            request_key text,
            fingerprint bytea,
            PRIMARY KEY (workspace_id, id),
            UNIQUE (workspace_id, request_key)
        )
        """
    )
    op.execute("CREATE INDEX calendars_changed ON calendars (workspace_id, id) WHERE followed_version < version")
    # Partial, so that firing schedules without calendars does not touch it.
    op.execute(
        """
        CREATE INDEX schedules_calendars ON schedules
            USING gin ((spec #> '{spec,exclude_calendars}') jsonb_path_ops)
            WHERE spec #> '{spec,exclude_calendars}' <> '[]'
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX schedules_calendars")
    op.execute("DROP TABLE calendars")
