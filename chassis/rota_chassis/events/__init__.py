"""The event log of a service, its relay to JetStream, and consumers."""
