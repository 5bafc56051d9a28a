"""The languages of a workspace, looked up in the middle of a statement."""

from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    # The id first: the query after it sees what was committed before the transaction had it, as each in a volatile
    # function sees what is committed when it begins.
    op.execute(
        """
        CREATE FUNCTION search_languages_now(workspace uuid) RETURNS SETOF text LANGUAGE plpgsql VOLATILE AS $$
        BEGIN
            PERFORM pg_current_xact_id();
            RETURN QUERY SELECT l.language FROM search_languages l WHERE l.workspace_id = workspace;
        END
        $$
        """
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION search_languages_now (uuid)")
