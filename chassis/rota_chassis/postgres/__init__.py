"""PostgreSQL: compiled statements on an asyncpg pool, units of work, migrations."""
