-- A fenced write names its row by id and says status = 'RUNNING'. From that the planner concluded that it may walk the
-- rescue index instead, which looks cheaper while few jobs run, and is not: every job that ran since the last vacuum
-- leaves an entry in it. IS TRUE keeps such writes to the primary key; the rescue says IS TRUE itself.
DROP INDEX telemetry_jobs_rescue_idx;
CREATE INDEX telemetry_jobs_rescue_idx ON telemetry_jobs (locked_at) WHERE (status = 'RUNNING') IS TRUE;
COMMENT ON INDEX telemetry_jobs_rescue_idx IS 'Serves the rescue: running jobs by their latest sign of life.';
