"""PostgreSQL: the connection, transactions, and named SQL in `queries/*.sql`."""
