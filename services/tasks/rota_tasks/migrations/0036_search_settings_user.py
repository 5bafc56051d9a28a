"""What a user has set for searches, found whichever workspace was their own then."""

from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.execute("CREATE INDEX search_settings_user ON search_settings (user_id)")


def downgrade() -> None:
    op.execute("DROP INDEX search_settings_user")
