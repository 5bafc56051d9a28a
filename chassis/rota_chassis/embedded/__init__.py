"""Real PostgreSQL, Redis, NATS and a mail sink as children of this process, for one machine and for tests."""
