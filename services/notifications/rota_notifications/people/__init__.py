"""Who the users are: a copy of what auth knows."""
