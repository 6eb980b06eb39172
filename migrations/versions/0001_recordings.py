"""Devices, sessions and artifacts. The statements stand in the .sql files beside this one."""

from alembic import op

from migrations.run import statements

revision = "0001_recordings"
down_revision = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "up"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "down"))
