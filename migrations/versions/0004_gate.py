"""The owner's line of a session, and the sectors of a lap. The statements stand in the .sql files beside this one."""

from alembic import op

from migrations.run import statements

revision = "0004_gate"
down_revision = "0003_guards"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "up"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "down"))
