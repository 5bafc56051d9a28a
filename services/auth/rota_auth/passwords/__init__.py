"""Passwords: hashed with Argon2id, off the event loop."""
