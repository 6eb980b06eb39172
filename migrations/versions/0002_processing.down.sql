DROP TABLE telemetry_laps;
DROP TABLE telemetry_datasets;
DROP TABLE telemetry_jobs;
DROP FUNCTION telemetry_backoff;
DROP TABLE telemetry_processing_runs;
