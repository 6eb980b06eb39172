"""Alembic runs this for every command; the connection, its transaction and its lock come from `migrations.run`."""

from alembic import context

from migrations.run import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
