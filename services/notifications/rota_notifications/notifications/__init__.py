"""What users are told, and the in-app list of it."""
