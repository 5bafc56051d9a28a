"""What finds the tasks whose titles have a text that hardly any has."""

from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    # Of a title each third piece of three characters, and its workspace: {"wat", "er ", "pla", …} of "Water plants".
    # An expression of its own arguments alone, so that PostgreSQL puts it in place of the call.
    op.execute(
        r"""
        CREATE FUNCTION title_trigrams(workspace uuid, title text) RETURNS text[]
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN string_to_array(
            regexp_replace(
                lower("left"(title, length(title) / 3 * 3) COLLATE "C"), '(...)', E'\\1\x01', 'g'
            ) || CAST(workspace AS text),
            E'\x01')
        """
    )
    # Of what waits to be sorted in, whoever reads the index reads all, and whoever writes too much of it sorts it in.
    op.execute(
        "CREATE INDEX tasks_title_trigrams ON tasks USING gin (title_trigrams(workspace_id, title))"
        " WITH (gin_pending_list_limit = 1024)"
    )
    # What is asked for depends on the workspace, so the planner could make nothing of statistics.
    op.execute("ALTER INDEX tasks_title_trigrams ALTER COLUMN 1 SET STATISTICS 0")


def downgrade() -> None:
    op.execute("DROP INDEX tasks_title_trigrams")
    op.execute("DROP FUNCTION title_trigrams (uuid, text)")
