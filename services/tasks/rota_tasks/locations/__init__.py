"""Which projects tasks are in, for other services."""
