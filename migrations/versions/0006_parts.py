"""Uploads in parts, and the limit on open uploads. The statements stand in the .sql files beside this one."""

from alembic import op

from migrations.run import statements

revision = "0006_parts"
down_revision = "0005_owners_rows"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "up"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "down"))
