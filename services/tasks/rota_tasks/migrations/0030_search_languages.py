"""Languages of searches: what users set, and what workspaces are prepared for."""

from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    # By the user's own workspace.
    op.execute(
        """
        CREATE TABLE search_settings (
            workspace_id uuid NOT NULL,
            user_id uuid NOT NULL,
            language text NOT NULL,
            PRIMARY KEY (workspace_id, user_id)
        )
        """
    )
    # The documents of the tasks up to `last_id` have been made anew for it.
    op.execute(
        """
        CREATE TABLE search_languages (
            workspace_id uuid NOT NULL,
            language text NOT NULL,
            last_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
            begins_after xid8,
            ready boolean NOT NULL DEFAULT false,
            PRIMARY KEY (workspace_id, language)
        )
        """
    )
    op.execute("CREATE INDEX search_languages_unready ON search_languages (workspace_id, language) WHERE NOT ready")
    op.execute("CREATE AGGREGATE tsvector_union (tsvector) (SFUNC = tsvector_concat, STYPE = tsvector, INITCOND = '')")


def downgrade() -> None:
    op.execute("DROP AGGREGATE tsvector_union (tsvector)")
    op.execute("DROP TABLE search_languages")
    op.execute("DROP TABLE search_settings")
