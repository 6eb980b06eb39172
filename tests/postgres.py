"""Fixtures over a real PostgreSQL: embedded, or the one that TELEMETRY_DATABASE_URL names."""
