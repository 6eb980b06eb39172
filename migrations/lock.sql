-- One migrator at a time, until the end of the transaction; any number will do, as long as all take the same. And a
-- migration that waits for a long transaction makes everyone else wait behind it: rather fail, and try again.
SELECT pg_advisory_xact_lock(7358460221);
SET LOCAL lock_timeout = '15s';
