"""Triggers that guard states and attempts. The statements stand in the .sql files beside this one."""

from alembic import op

from migrations.run import statements

revision = "0003_guards"
down_revision = "0002_processing"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "up"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "down"))
