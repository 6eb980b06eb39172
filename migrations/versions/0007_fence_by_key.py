"""Keeps fenced writes off the rescue index. The statements stand in the .sql files beside this one."""

from alembic import op

from migrations.run import statements

revision = "0007_fence_by_key"
down_revision = "0006_parts"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "up"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "down"))
