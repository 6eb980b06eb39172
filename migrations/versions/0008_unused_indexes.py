"""Drops indexes that serve no query. The statements stand in the .sql files beside this one."""

from alembic import op

from migrations.run import statements

revision = "0008_unused_indexes"
down_revision = "0007_fence_by_key"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "up"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "down"))
