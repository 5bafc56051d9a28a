"""Invitations to workspaces by e-mail."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE invitations (
            workspace_id uuid NOT NULL REFERENCES workspaces (id),
            id uuid NOT NULL,
            email text NOT NULL,
            role text NOT NULL,
            state text NOT NULL,
            invited_by uuid NOT NULL,
            created_at timestamptz NOT NULL,
            sent_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            accepted_by uuid,
            version integer NOT NULL,
            PRIMARY KEY (workspace_id, id),
            CHECK (state IN ('open', 'accepted', 'revoked', 'expired')),
            CHECK ((state = 'accepted') = (accepted_by IS NOT NULL))
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX invitations_open ON invitations (workspace_id, lower(email)) WHERE state = 'open'")
    op.execute(
        """
        CREATE TABLE invitation_tokens (
            digest bytea PRIMARY KEY,
            workspace_id uuid NOT NULL,
            invitation_id uuid NOT NULL,
            FOREIGN KEY (workspace_id, invitation_id) REFERENCES invitations (workspace_id, id)
        )
        """
    )
    op.execute("CREATE INDEX invitation_tokens_invitation ON invitation_tokens (workspace_id, invitation_id)")


def downgrade() -> None:
    op.execute("DROP TABLE invitation_tokens")
    op.execute("DROP TABLE invitations")
