"""gRPC: servers and channels with identity, deadlines, traces, validation and errors."""
