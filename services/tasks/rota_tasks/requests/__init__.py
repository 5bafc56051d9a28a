"""What is remembered of calls with an `Idempotency-Key`, and for how long."""
