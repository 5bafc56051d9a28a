"""`rota demo`: one story told through the public API, for newcomers to watch and for tests to check."""
