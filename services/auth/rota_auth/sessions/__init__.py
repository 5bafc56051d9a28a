"""Sessions: registering, logging in, renewing, logging out."""
