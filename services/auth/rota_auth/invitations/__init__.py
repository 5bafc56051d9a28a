"""Invitations to workspaces by e-mail."""
