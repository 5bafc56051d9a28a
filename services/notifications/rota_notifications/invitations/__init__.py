"""Mails to people who are invited."""
