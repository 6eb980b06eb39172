"""Versioned migrations of the database: plain SQL per revision, applied by alembic."""
