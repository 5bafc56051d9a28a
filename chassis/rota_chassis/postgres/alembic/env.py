"""Runs revisions on the connection that `rota_chassis.postgres.migrations` hands over."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
context.run_migrations()
