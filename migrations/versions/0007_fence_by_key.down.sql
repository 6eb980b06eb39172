DROP INDEX telemetry_jobs_rescue_idx;
CREATE INDEX telemetry_jobs_rescue_idx ON telemetry_jobs (locked_at) WHERE status = 'RUNNING';
COMMENT ON INDEX telemetry_jobs_rescue_idx IS 'Serves the rescue: running jobs by their latest sign of life.';
