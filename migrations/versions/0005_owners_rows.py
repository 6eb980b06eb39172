"""Row-level security: the API sees one owner's rows. The statements stand in the .sql files beside this one."""

from alembic import op

from migrations.run import statements

revision = "0005_owners_rows"
down_revision = "0004_gate"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "up"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql(statements(revision, "down"))
