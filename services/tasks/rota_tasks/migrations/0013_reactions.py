"""Reactions to comments."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE reactions (
            workspace_id uuid NOT NULL,
            comment_id uuid NOT NULL,
            emoji text NOT NULL,
            user_id uuid NOT NULL,
            id uuid NOT NULL,
            task_id uuid NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id, comment_id, emoji, user_id),
            FOREIGN KEY (workspace_id, comment_id) REFERENCES comments (workspace_id, id) ON DELETE CASCADE
        )
        """
    )
    op.execute("CREATE INDEX reactions_oldest ON reactions (workspace_id, comment_id, id)")
    op.execute(
        """
        CREATE INDEX events_reaction_comment
            ON events (workspace_id, (data -> 'reaction' ->> 'comment_id'), position)
            WHERE aggregate = 'reaction'
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX events_reaction_comment")
    op.execute("DROP TABLE reactions")
