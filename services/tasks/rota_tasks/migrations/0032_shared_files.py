"""Files that several attachments have: which, and how many."""

from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.execute("ALTER TABLE attachments ADD COLUMN stored_with uuid")
    op.execute("ALTER TABLE attachment_objects ADD COLUMN uses integer NOT NULL DEFAULT 1 CHECK (uses >= 0)")


def downgrade() -> None:
    op.execute("ALTER TABLE attachment_objects DROP COLUMN uses")
    op.execute("ALTER TABLE attachments DROP COLUMN stored_with")
