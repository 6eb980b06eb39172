"""Runs, jobs, datasets and laps. The statements stand in the .sql files beside this one."""

from alembic import op

from migrations.run import statements

revision = "0002_processing"
down_revision = "0001_recordings"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "up"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "down"))
